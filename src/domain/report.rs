//! Delivery status notifications (RFC 3464).

/// What a report says of a failed delivery: the status and the other server's own words. `None` when it tells of
/// something else, such as a delay or a success.
#[must_use]
pub fn failure(raw: &[u8]) -> Option<String> {
    const MAX: usize = 500;
    let text = String::from_utf8_lossy(raw);
    let field = |name: &str| {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((key, value)) = line.split_once(':') else { continue };
            if !key.trim().eq_ignore_ascii_case(name) {
                continue;
            }
            let mut value = value.trim().to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(more.trim());
            }
            return Some(value);
        }
        None
    };
    if !field("Action")?.eq_ignore_ascii_case("failed") {
        return None;
    }
    let status = field("Status").unwrap_or_default();
    let words = field("Diagnostic-Code").unwrap_or_default();
    let said: String = format!("{status} {words}").chars().filter(|c| !c.is_control()).take(MAX).collect();
    Some(said.trim().to_owned())
}
