//! Looks at a page as somebody does who cannot see it well, has no mouse, or holds a telephone (WCAG 2.2 AA).

use serde_json::Value;

use super::chromium::{Scheme, Tab};

const INSPECT: &str = concat!(include_str!("colours.js"), include_str!("inspect.js"));
const FOCUS: &str = concat!(include_str!("colours.js"), include_str!("focus.js"));

/// Sizes of what is seen of a page: two telephones, a laptop, a wide screen.
const SIZES: [(u32, u32); 4] = [(320, 640), (360, 740), (1280, 900), (2560, 1300)];

/// Everything that is wrong with the page, in every size, light and dark; each with where it was seen first.
pub fn faults(tab: &Tab) -> Vec<String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        for (width, height) in SIZES {
            tab.prefer(scheme, false);
            tab.resize(width, height);
            let faults = tab.ask(INSPECT, &[&width.to_string()]).unwrap();
            for fault in texts(&faults) {
                if found.iter().all(|(known, _)| *known != fault) {
                    found.push((fault, format!("{scheme:?}, {width} px")));
                }
            }
        }
    }
    tab.prefer(Scheme::Light, false);
    found.into_iter().map(|(fault, place)| format!("{}: {fault} ({place})", tab.path())).collect()
}

/// Walks through the page by Tab alone: the names of what gets the focus, in their order.
///
/// # Panics
/// When one of them does not show it.
#[track_caller]
pub fn walk(tab: &Tab) -> Vec<String> {
    let mut names = Vec::new();
    tab.script(
        "const b = document.body; b.tabIndex = -1; b.focus(); b.removeAttribute('tabindex'); scrollTo(0, 0)",
    )
    .unwrap();
    while names.len() < 200 {
        tab.type_keys("\t");
        let Value::Array(found) = tab.script(FOCUS).unwrap() else { break };
        let (name, wrong) = (found[0].as_str().unwrap(), found[1].as_str().unwrap());
        assert_eq!(wrong, "", "{name} has the focus on {}", tab.path());
        names.push(name.to_owned());
    }
    names
}

/// Presses Tab until the focus is on the element of that name, as [`walk`] has it.
#[track_caller]
pub fn walk_to(tab: &Tab, name: &str) {
    let mut seen = Vec::new();
    while seen.len() < 200 {
        tab.type_keys("\t");
        let found = tab.script(FOCUS).unwrap();
        match found[0].as_str() {
            Some(found) if found == name => return,
            found => seen.push(found.map(str::to_owned)),
        }
    }
    panic!("no {name} among {seen:?}");
}

fn texts(array: &Value) -> impl Iterator<Item = String> {
    array.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned())
}
