//! Which folders of the server the configured ones are.

use crate::domain::verdict::Placement;

use super::response::Listed;
use super::utf7;

/// Names that mean `\Junk` where no folder has the attribute, lower case.
const JUNK_NAMES: [&str; 6] = ["junk", "spam", "junk e-mail", "junk email", "bulk mail", "junk mail"];

/// A folder of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// For people.
    pub name: String,
    /// As it goes over the wire.
    pub wire_name: String,
    pub attributes: Vec<String>,
    delimiter: Option<char>,
}

impl From<Listed> for Folder {
    fn from(listed: Listed) -> Self {
        Self {
            name: utf7::decode(&listed.name),
            wire_name: listed.name,
            attributes: listed.attributes,
            delimiter: listed.delimiter,
        }
    }
}

impl Folder {
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|own| own.eq_ignore_ascii_case(attribute))
    }

    fn is_selectable(&self) -> bool {
        !self.has("\\Noselect") && !self.has("\\NonExistent")
    }

    fn is_called_junk(&self) -> bool {
        let last =
            self.delimiter.and_then(|delimiter| self.name.rsplit(delimiter).next()).unwrap_or(&self.name);
        JUNK_NAMES.contains(&last.to_lowercase().as_str())
    }

    fn placement(&self) -> Placement {
        if self.name.eq_ignore_ascii_case("INBOX") {
            Placement::Inbox
        } else if self.has("\\Junk") || self.is_called_junk() {
            Placement::Junk
        } else {
            Placement::Other
        }
    }
}

/// What to open for a configured folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub wire_name: String,
    pub placement: Placement,
}

/// Whether a configured folder is a special-use attribute (RFC 6154) and not a name.
pub(super) fn is_attribute(configured: &str) -> bool {
    configured.starts_with('\\')
}

/// Whether two configured folders are the same: names by case, INBOX and attributes in any case.
fn is_same(a: &str, b: &str) -> bool {
    let any_case = is_attribute(a) || a.eq_ignore_ascii_case("INBOX");
    if any_case { a.eq_ignore_ascii_case(b) } else { a == b }
}

/// The configured folders without repetitions.
pub(super) fn distinct(configured: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for folder in configured {
        if !distinct.iter().any(|known| is_same(known, folder)) {
            distinct.push(folder.clone());
        }
    }
    distinct
}

/// The folder to open for `wanted`, one of `configured`. `None` for an attribute that no folder has, or whose folder is
/// watched already by its name or another attribute. A name is opened even when the server does not list it: opening
/// tells best whether it is there.
pub(super) fn resolve(wanted: &str, configured: &[String], listed: &[Folder]) -> Option<Target> {
    if !is_attribute(wanted) {
        let folder = listed.iter().find(|folder| is_same(wanted, &folder.name));
        return Some(match folder {
            Some(folder) => target(folder),
            None => target(&Folder {
                name: wanted.to_owned(),
                wire_name: utf7::encode(wanted),
                attributes: Vec::new(),
                delimiter: None,
            }),
        });
    }
    let folder = with_attribute(wanted, listed)?;
    let taken = configured.iter().take_while(|other| !is_same(wanted, other)).any(|other| {
        is_attribute(other) && with_attribute(other, listed).is_some_and(|known| known.name == folder.name)
    }) || configured.iter().any(|other| is_same(other, &folder.name));
    (!taken).then(|| target(folder))
}

fn with_attribute<'a>(attribute: &str, listed: &'a [Folder]) -> Option<&'a Folder> {
    let mut selectable = listed.iter().filter(|folder| folder.is_selectable());
    let by_name = || listed.iter().find(|folder| folder.is_selectable() && folder.is_called_junk());
    selectable
        .find(|folder| folder.has(attribute))
        .or_else(|| attribute.eq_ignore_ascii_case("\\Junk").then(by_name).flatten())
}

fn target(folder: &Folder) -> Target {
    Target { name: folder.name.clone(), wire_name: folder.wire_name.clone(), placement: folder.placement() }
}

/// The folders' names for an error message, so that the right one can be picked.
pub(super) fn names(listed: &[Folder]) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> =
        listed.iter().filter(|folder| folder.is_selectable()).map(|folder| folder.name.as_str()).collect();
    let shown = names.get(..names.len().min(SHOWN)).unwrap_or_default().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn folder(name: &str, attributes: &[&str]) -> Folder {
        Folder::from(Listed {
            attributes: attributes.iter().map(|&a| a.to_owned()).collect(),
            delimiter: Some('.'),
            name: name.to_owned(),
        })
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_attribute_finds_its_folder() {
        let listed = [folder("INBOX", &[]), folder("Junk", &[]), folder("INBOX.Entw&APw-rfe", &["\\junk"])];
        let configured = strings(&["INBOX", "\\Junk"]);
        let target = resolve("\\Junk", &configured, &listed).unwrap();
        assert_eq!(
            (target.name.as_str(), target.wire_name.as_str()),
            ("INBOX.Entwürfe", "INBOX.Entw&APw-rfe")
        );
        assert_eq!(target.placement, Placement::Junk);
        assert_eq!(resolve("\\Archive", &configured, &listed), None);
    }

    #[test]
    fn without_the_attribute_a_usual_name_will_do() {
        let configured = strings(&["INBOX", "\\Junk"]);
        let listed = [folder("INBOX", &[]), folder("INBOX.Spam", &[])];
        assert_eq!(resolve("\\Junk", &configured, &listed).unwrap().name, "INBOX.Spam");
        assert_eq!(resolve("\\Junk", &configured, &[folder("Junk", &["\\Noselect"])]), None);
    }

    #[test]
    fn no_folder_is_watched_twice() {
        let listed = [folder("inbox", &[]), folder("Junk", &["\\Junk", "\\Trash"])];
        assert_eq!(resolve("\\Junk", &strings(&["INBOX", "\\Junk", "Junk"]), &listed), None);
        let both = strings(&["\\Trash", "\\Junk"]);
        assert!(resolve("\\Trash", &both, &listed).is_some());
        assert_eq!(resolve("\\Junk", &both, &listed), None);
        assert_eq!(
            distinct(&strings(&["INBOX", "inbox", "\\Junk", "\\junk", "a", "A"])),
            ["INBOX", "\\Junk", "a", "A"]
        );
    }

    #[test]
    fn a_name_is_opened_whether_listed_or_not() {
        let listed = [folder("Inbox", &[]), folder("Spam", &[])];
        let configured = strings(&["INBOX", "Spam", "Prüfung"]);
        assert_eq!(resolve("INBOX", &configured, &listed).unwrap().placement, Placement::Inbox);
        assert_eq!(resolve("Spam", &configured, &listed).unwrap().placement, Placement::Junk);
        let target = resolve("Prüfung", &configured, &listed).unwrap();
        assert_eq!((target.wire_name.as_str(), target.placement), ("Pr&APw-fung", Placement::Other));
    }
}
