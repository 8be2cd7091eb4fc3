//! What Discord takes: its documented limits of a webhook message, and the one thing that we ask on top of them.

use serde_json::{Map, Value};

use super::http::Asked;

/// Says why Discord would refuse a message (400), or why it must not be sent as it is.
///
/// # Errors
/// The first complaint.
pub fn check(asked: &Asked) -> Result<Value, String> {
    let header =
        |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("user-agent").is_empty() {
        return Err("without a User-Agent its front servers may refuse it".to_owned());
    }
    if !asked.query.split('&').any(|pair| pair == "wait=true") {
        return Err("without wait=true nobody learns whether the message was taken".to_owned());
    }
    if !header("content-type").starts_with("application/json") {
        return Err(format!("Content-Type is {:?}", header("content-type")));
    }
    let message: Value = serde_json::from_slice(&asked.body).map_err(|e| format!("not JSON: {e}"))?;
    let object = message.as_object().ok_or("not an object")?;
    if object.get("allowed_mentions").and_then(|m| m.get("parse")) != Some(&Value::Array(Vec::new())) {
        return Err("allowed_mentions.parse is not []: a name in a text could call everybody".to_owned());
    }
    let content = text(object, "content", 2000)?;
    text(object, "username", 80)?;
    let none = Vec::new();
    let embeds = object.get("embeds").and_then(Value::as_array).unwrap_or(&none);
    if content.trim().is_empty() && embeds.is_empty() {
        return Err("Cannot send an empty message".to_owned());
    }
    if embeds.len() > 10 {
        return Err(format!("{} embeds", embeds.len()));
    }
    let mut sum = 0;
    for embed in embeds {
        sum += embed_size(embed.as_object().ok_or("an embed is no object")?)?;
    }
    if sum > 6000 {
        return Err(format!("embeds of {sum} characters together"));
    }
    Ok(message)
}

fn embed_size(embed: &Map<String, Value>) -> Result<usize, String> {
    let mut sum = length(&text(embed, "title", 256)?) + length(&text(embed, "description", 4096)?);
    for (part, field, limit) in [("footer", "text", 2048), ("author", "name", 256)] {
        if let Some(part) = embed.get(part).and_then(Value::as_object) {
            sum += length(&text(part, field, limit)?);
        }
    }
    let none = Vec::new();
    let fields = embed.get("fields").and_then(Value::as_array).unwrap_or(&none);
    if fields.len() > 25 {
        return Err(format!("{} fields", fields.len()));
    }
    for field in fields {
        let field = field.as_object().ok_or("a field is no object")?;
        for (name, limit) in [("name", 256), ("value", 1024)] {
            let text = text(field, name, limit)?;
            if text.trim().is_empty() {
                return Err(format!("a field's {name} is empty"));
            }
            sum += length(&text);
        }
    }
    if sum == 0 {
        return Err("an embed is empty".to_owned());
    }
    if let Some(url) = embed.get("url") {
        // Also the name of the host must look like one: `localhost` is refused.
        let parsed = url.as_str().and_then(|text| text.parse::<reqwest::Url>().ok());
        let is_web = |url: &reqwest::Url| {
            matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| host.contains('.'))
        };
        parsed.filter(is_web).ok_or(format!("{url} is not a well formed URL"))?;
    }
    if let Some(at) = embed.get("timestamp") {
        let is_time = at.as_str().is_some_and(|t| t.parse::<jiff::Timestamp>().is_ok());
        is_time.then_some(()).ok_or(format!("{at} is no ISO 8601 time"))?;
    }
    if let Some(colour) = embed.get("color") {
        colour.as_u64().filter(|c| *c <= 0xff_ff_ff).ok_or(format!("{colour} is no colour"))?;
    }
    Ok(sum)
}

fn text(object: &Map<String, Value>, name: &str, limit: usize) -> Result<String, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) if length(text) <= limit => Ok(text.clone()),
        Some(Value::String(text)) => {
            Err(format!("{name} has {} characters, more than {limit}", length(text)))
        }
        Some(other) => Err(format!("{name} is {other}")),
    }
}

/// In UTF-16 units: nobody counts more.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[test]
fn a_message_that_discord_would_refuse_is_refused() {
    use axum::http::{HeaderMap, Method};
    use serde_json::json;
    let asked = |query: &str, content_type: &str, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        headers.insert("user-agent", "lab".parse().unwrap());
        Asked {
            method: Method::POST,
            path: String::new(),
            query: query.to_owned(),
            headers,
            body: body.to_owned().into(),
        }
    };
    let good = || json!({"content": "x", "allowed_mentions": {"parse": []}});
    let with = |name: &str, value: Value| {
        let mut message = good();
        message[name] = value;
        message
    };
    let complaint = |message: &Value| {
        check(&asked("wait=true", "application/json", &message.to_string())).err().unwrap_or_default()
    };
    assert_eq!(complaint(&good()), "");
    let field =
        |name: &str, value: &str| with("embeds", json!([{"fields": [{"name": name, "value": value}]}]));
    assert_eq!(complaint(&field("n", "v")), "");
    for (message, word) in [
        (json!({"content": "x"}), "allowed_mentions"),
        (with("allowed_mentions", json!({"parse": ["everyone"]})), "allowed_mentions"),
        (with("content", json!("")), "empty"),
        (with("content", json!("x".repeat(2001))), "content"),
        (with("embeds", json!([{"title": "x".repeat(257)}])), "title"),
        (with("embeds", json!([{"description": "x".repeat(4097)}])), "description"),
        (with("embeds", json!([{"title": "t", "footer": {"text": "x".repeat(2049)}}])), "text"),
        (with("embeds", json!([{"fields": vec![json!({"name": "n", "value": "v"}); 26]}])), "26 fields"),
        (field("x".repeat(257).as_str(), "v"), "name"),
        (field("n", "x".repeat(1025).as_str()), "value"),
        (field("n", " "), "value is empty"),
        (with("embeds", json!(vec![json!({"description": "x".repeat(3001)}); 2])), "6002"),
        (with("embeds", json!([{"title": "t", "timestamp": "yesterday"}])), "time"),
        (with("embeds", json!([{"title": "t", "url": "http://localhost:5000/"}])), "URL"),
        (with("embeds", json!([{}])), "an embed is empty"),
    ] {
        assert!(complaint(&message).contains(word), "{word}: {:?}", complaint(&message));
    }
    let wrong =
        |query: &str, content_type: &str, body: &str| check(&asked(query, content_type, body)).unwrap_err();
    assert!(wrong("", "application/json", "{}").contains("wait"));
    assert!(wrong("wait=true", "text/plain", "{}").contains("Content-Type"));
    assert!(wrong("wait=true", "application/json", "{").contains("JSON"));
    let mut nameless = asked("wait=true", "application/json", &good().to_string());
    nameless.headers.remove("user-agent");
    assert!(check(&nameless).unwrap_err().contains("User-Agent"));
}
