//! Where panels stand and where links lead.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bundle::{dashboards, text};

/// Left, top, width, height.
fn place(panel: &Value) -> [u64; 4] {
    ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap())
}

#[test]
fn panels_have_numbers_of_their_own_and_stand_side_by_side() {
    for board in dashboards() {
        let panels = board.panels();
        let numbers: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), panels.len(), "{}", board.name);
        let mut taken = BTreeSet::new();
        let mut end = 0;
        for panel in &panels {
            let [x, y, width, height] = place(panel);
            let title = format!("{}: {}", board.name, panel["title"]);
            assert!(x + width <= 24 && width > 0 && height > 0, "{title}");
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{title} overlaps at {cell:?}");
            }
            end = end.max(y + height);
        }
        assert_eq!(taken.len() as u64, end * 24, "{}: no gaps", board.name);
        let order: Vec<[u64; 2]> = panels.iter().map(|panel| place(panel)).map(|[x, y, ..]| [y, x]).collect();
        assert!(order.is_sorted(), "{}: as they are read", board.name);
    }
}

/// Every value of a key `url`, at any depth.
fn urls<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(url) if key == "url" => found.push(url),
                    other => urls(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| urls(item, found)),
        _ => {}
    }
}

#[test]
fn links_lead_somewhere() {
    let boards = dashboards();
    let uids: Vec<&str> = boards.iter().map(|board| text(&board.json["uid"])).collect();
    for board in &boards {
        let mut found = Vec::new();
        urls(&board.json, &mut found);
        assert!(found.len() > 2, "{}", board.name);
        for url in found.into_iter().filter(|url| !url.is_empty()) {
            let path = url.split('?').next().unwrap();
            if let Some(uid) = path.strip_prefix("/d/") {
                assert!(uids.contains(&uid), "{}: {url}", board.name);
                assert!(url.contains("${__url_time_range}"), "{}: {url} keeps the time", board.name);
            } else {
                let page = path.strip_prefix("${maildt_url}");
                let known = ["/", "/recipients", "/incidents", "/settings"];
                assert!(page.is_some_and(|page| known.contains(&page)), "{}: {url}", board.name);
            }
        }
    }
}
