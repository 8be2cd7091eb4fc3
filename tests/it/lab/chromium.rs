//! A real browser: Chromium, told what to do by one chromedriver for all tests (W3C's `WebDriver`).
//!
//! Each [`Tab`] is a Chromium of its own with a profile of its own. What it complains of on its console (errors of scripts,
//! breaches of the Content-Security-Policy, answers that were errors) fails the test, unless the test said before that it
//! belongs there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use axum::http::Method;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::Signal;
use reqwest::Url;
use serde_json::{Value, json};

use super::ground::{free_port, ground, not_run, runtime, test_env};
use super::process::Process;
use super::wait::{Look, eventually, s, so};

/// How long anything may take until it shows. Pages answer in milliseconds; a busy machine with two processors does not.
const LIMIT: Duration = s(20);

/// The one chromedriver.
struct Driver {
    port: u16,
    binary: PathBuf,
    /// The warden ends it.
    _process: Process,
}

impl Driver {
    fn shared() -> Result<&'static Self, &'static str> {
        static DRIVER: OnceLock<Result<Driver, String>> = OnceLock::new();
        DRIVER.get_or_init(Self::start).as_ref().map_err(String::as_str)
    }

    fn start() -> Result<Self, String> {
        let found = |setting: &str, names: &[&str]| {
            let named = test_env(setting).map(PathBuf::from);
            named
                .or_else(|| names.iter().find_map(|name| on_path(name)))
                .ok_or_else(|| format!("{} is missing (Debian: chromium, chromium-driver)", names[0]))
        };
        let binary = found("MAILDT_TEST_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])?;
        let driver = found("MAILDT_TEST_CHROMEDRIVER", &["chromedriver"])?;
        let directory = ground().directory("chromium");
        let port = free_port();
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}")).arg("--log-level=WARNING");
        // Profiles and whatever else Chromium leaves behind lie there.
        for name in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(name, &directory);
        }
        let process = Process::start(&mut command, Signal::SIGTERM, &directory.join("chromedriver.log"));
        eventually(s(20), "chromedriver listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string())
        });
        Ok(Self { port, binary, _process: process })
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.exists())
}

/// Leave to run a test's browsers: each keeps a processor busy.
struct Place;

const PLACES: usize = 2;
static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Place {
    fn take() -> Self {
        let free = TAKEN.1.wait_while(TAKEN.0.lock().unwrap(), |taken| *taken >= PLACES);
        *free.unwrap() += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap() -= 1;
        TAKEN.1.notify_one();
    }
}

/// Light or dark, as the system of the viewer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

/// A browser with one page open.
pub struct Tab {
    client: Option<Client>,
    allowed: Mutex<Vec<&'static str>>,
    place: Arc<Place>,
}

impl Tab {
    /// A new one. On a machine without Chromium, `None`, and the test is named among those that did not run.
    pub fn open(test: &str) -> Option<Self> {
        Driver::shared().map_err(|why| not_run(test, why)).ok()?;
        Some(Self::in_place(Arc::new(Place::take())))
    }

    /// Another browser of the same test.
    pub fn beside(&self) -> Self {
        Self::in_place(Arc::clone(&self.place))
    }

    fn in_place(place: Arc<Place>) -> Self {
        let driver = Driver::shared().unwrap();
        let arguments = [
            "--headless=new",
            "--window-size=1280,900",
            // Nothing but pages of ours is shown, and the sandbox does not work as root or in most containers.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--force-color-profile=srgb",
            "--lang=en-GB",
            // It ends when chromedriver does, however that ends.
            "--remote-debugging-pipe",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        ];
        let wishes = json!({
            "browserName": "chrome",
            // The certificates of the lab are known to nobody.
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": driver.binary, "args": arguments },
        });
        let Value::Object(wishes) = wishes else { unreachable!() };
        let client = runtime().block_on(
            ClientBuilder::new(HttpConnector::new())
                .capabilities(wishes)
                .connect(&format!("http://127.0.0.1:{}", driver.port)),
        );
        Self { client: Some(client.unwrap()), allowed: Mutex::default(), place }
    }

    /// From now on the console may say this.
    pub fn allow(&self, words: &'static str) {
        self.allowed.lock().unwrap().push(words);
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    #[track_caller]
    pub fn go(&self, url: &str) {
        runtime().block_on(self.client().goto(url)).unwrap();
    }

    #[track_caller]
    pub fn back(&self) {
        runtime().block_on(self.client().back()).unwrap();
    }

    /// Path and query of the page that is shown.
    #[track_caller]
    pub fn path(&self) -> String {
        let url = runtime().block_on(self.client().current_url()).unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Waits until that page is shown.
    #[track_caller]
    pub fn arrives_at(&self, path: &str) {
        eventually(LIMIT, &format!("the browser is at {path}"), || {
            so(self.path() == path, || format!("at {}: {}", self.path(), self.words()))?;
            self.script("return document.readyState")
                .and_then(|state| so(state == "complete", || format!("{state}: not loaded")))
        });
    }

    /// What can be read on the page.
    pub fn words(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : ''");
        text.map_or_else(|e| e, |text| text.as_str().unwrap_or_default().replace('\u{a0}', " "))
    }

    /// What can be read in the first element of a selector.
    pub fn text(&self, css: &str) -> Look<String> {
        let text =
            self.ask("const e = document.querySelector(arguments[0]); return e && e.innerText", &[css])?;
        text.as_str().map(|t| t.replace('\u{a0}', " ")).ok_or_else(|| format!("no {css} in {}", self.words()))
    }

    /// Waits until these words can be read in that element.
    #[track_caller]
    pub fn reads(&self, css: &str, words: &str) {
        eventually(LIMIT, &format!("{css} says {words:?}"), || {
            let text = self.text(css)?;
            so(text.contains(words), || text.clone())
        });
    }

    /// Clicks with the mouse; the element must be there, in sight and not covered.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.click_on(Locator::Css(css));
    }

    /// Clicks the link, button or summary with exactly these words.
    #[track_caller]
    pub fn press(&self, words: &str) {
        let path = format!("//*[(self::a or self::button or self::summary) and normalize-space()={words:?}]");
        self.click_on(Locator::XPath(&path));
    }

    #[track_caller]
    fn click_on(&self, place: Locator<'_>) {
        eventually(LIMIT, &format!("{place:?} can be clicked"), || {
            let click = async { self.client().find(place).await?.click().await };
            runtime().block_on(click).map_err(|e| e.to_string())
        });
    }

    /// Fills in a field; what was there goes.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        eventually(LIMIT, &format!("{css} can be filled in"), || {
            let fill = async {
                let field = self.client().find(Locator::Css(css)).await?;
                field.clear().await?;
                field.send_keys(text).await
            };
            runtime().block_on(fill).map_err(|e| e.to_string())
        });
    }

    #[track_caller]
    pub fn choose(&self, css: &str, value: &str) {
        let choose = async { self.client().find(Locator::Css(css)).await?.select_by_value(value).await };
        runtime().block_on(choose).unwrap();
    }

    /// Presses keys one after the other, whatever has the focus: Tab and Enter as `\t` and `\n`, others as their [`Key`].
    #[track_caller]
    pub fn type_keys(&self, keys: &str) {
        let named = |c| match c {
            '\t' => Key::Tab.into(),
            '\n' => Key::Enter.into(),
            c => c,
        };
        let keys = keys.chars().map(named).fold(KeyActions::new("keyboard".into()), |all, value| {
            all.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        runtime().block_on(self.client().perform_actions(keys)).unwrap();
    }

    /// What has the focus: its tag, and its id where it has one.
    pub fn focus(&self) -> String {
        let found =
            self.script("const e = document.activeElement; return e.localName + (e.id && '#' + e.id)");
        found.map_or_else(|e| e, |name| name.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a script and gives what it returns.
    pub fn script(&self, script: &str) -> Look<Value> {
        self.ask(script, &[])
    }

    /// A script with arguments.
    pub fn ask(&self, script: &str, arguments: &[&str]) -> Look<Value> {
        let arguments = arguments.iter().map(|text| Value::from(*text)).collect();
        runtime().block_on(self.client().execute(script, arguments)).map_err(|e| e.to_string())
    }

    /// The size of what is seen of the page, in CSS pixels; below 600 px it is a phone.
    pub fn resize(&self, width: u32, height: u32) {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &screen);
    }

    pub fn prefer(&self, scheme: Scheme, reduced_motion: bool) {
        let scheme = if scheme == Scheme::Dark { "dark" } else { "light" };
        let motion = if reduced_motion { "reduce" } else { "no-preference" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// A command of Chrome's `DevTools` protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        runtime().block_on(self.client().issue_cmd(Chromes { path: "goog/cdp/execute", body })).unwrap()
    }

    /// The page as a picture, PNG: what is seen of it, or all of its height.
    pub fn picture(&self, whole: bool) -> Vec<u8> {
        let answer = self.devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": whole }));
        data_encoding::BASE64.decode(answer["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// What the console has complained of since this was asked last, without what is allowed.
    pub fn complaints(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let entries = runtime().block_on(self.client().issue_cmd(Chromes { path: "se/log", body }));
        let Ok(Value::Array(entries)) = entries else { return vec![format!("no log: {entries:?}")] };
        let allowed = self.allowed.lock().unwrap();
        entries
            .iter()
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|entry| format!("{}: {}", entry["source"], entry["message"]))
            .filter(|text| !allowed.iter().any(|words| text.contains(words)))
            .collect()
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking();
        let complaints = self.complaints();
        if is_failing {
            eprintln!("--- the browser showed {}:\n{}\n---\n{complaints:#?}", self.path(), self.words());
            let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("browser-failed.png");
            drop(fs::write(&file, self.picture(false)));
            eprintln!("--- its picture is {}", file.display());
        }
        drop(runtime().block_on(self.client.take().unwrap().close()));
        assert!(is_failing || complaints.is_empty(), "the browser complains: {complaints:#?}");
    }
}

/// A command that only chromedriver has.
#[derive(Debug)]
struct Chromes {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Chromes {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
