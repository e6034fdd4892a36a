//! The page in Chromium, which is driven through its DevTools by `hullo connect`: a line is a message there.

use std::fs;

use serde_json::{Value, json};

use crate::{
    Folder,
    common::{Home, Program, eventually, noise, peer},
};

/// A page in a browser without a window.
struct Browser {
    _chromium: Program,
    wire: Program,
    session: String,
    asked: u32,
}

impl Browser {
    fn open(home: &Home, url: &str) -> Option<Self> {
        let mut command = home.command(peer("chromium")?);
        let folder = format!("--user-data-dir={}", home.path("browser"));
        let words =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", &folder, "about:blank"];
        let chromium = Program::start(command.args(words));
        let told = chromium.told("\n").split("DevTools listening on ").nth(1).map(str::to_owned);
        let told = told.unwrap_or_else(|| {
            chromium.told("/devtools/browser/").split("DevTools listening on ").nth(1).unwrap().to_owned()
        });
        let devtools = told.split_whitespace().next().unwrap().to_owned();
        // Its messages may be long, as pictures are.
        let wire = Program::start(&mut home.hullo(&["connect", "--lines", &format!("{devtools}?max=64M")]));
        let mut browser = Self { _chromium: chromium, wire, session: String::new(), asked: 0 };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        browser.call("Page.enable", json!({}));
        browser.call("Runtime.enable", json!({}));
        browser.go(url);
        Some(browser)
    }

    /// Calls one of its methods.
    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answered(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    #[track_caller]
    fn answered(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.wire.say(format!("{message}\n"));
        let mark = format!("{{\"id\":{},", self.asked);
        let answer = |said: &str| {
            said.lines().find(|line| line.starts_with(&mark)).and_then(|line| serde_json::from_str::<Value>(line).ok())
        };
        let said = self.wire.heard_by(|said| answer(said).is_some());
        answer(&said).unwrap()
    }

    #[track_caller]
    fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// What an expression comes to; a promise is waited for.
    #[track_caller]
    fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits in the page until that holds there.
    #[track_caller]
    fn until(&mut self, expression: &str) {
        let wait = format!(
            "new Promise((done, failed) => {{ const from = Date.now(); const look = () => {{ \
             if ({expression}) done(true); else if (Date.now() - from > 9000) failed(document.body.innerText); \
             else requestAnimationFrame(look); }}; look(); }})"
        );
        // What waits in a page that is left goes with it.
        let gone = |answer: &Value| {
            answer["error"]["message"].as_str().is_some_and(|why| why.contains("navigated") || why.contains("context"))
        };
        let params = json!({ "expression": wait, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.answered("Runtime.evaluate", params.clone());
        for _ in 0..3 {
            if gone(&answer) {
                answer = self.answered("Runtime.evaluate", params.clone());
            }
        }
        assert_eq!(answer["result"]["result"]["value"], true, "{expression}: {answer}");
    }

    /// The names in the list that are to be seen.
    fn shown(&mut self) -> Vec<String> {
        let names = self.value(
            "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.cells[0].innerText.trim())",
        );
        serde_json::from_value(names).unwrap()
    }

    fn choose(&mut self, files: &[&str]) {
        let page = self.call("DOM.getDocument", json!({}));
        let input = json!({ "nodeId": page["root"]["nodeId"], "selector": "#choose" });
        let input = self.call("DOM.querySelector", input);
        self.call("DOM.setFileInputFiles", json!({ "nodeId": input["nodeId"], "files": files }));
    }

    /// What the page complained of: scripts that failed, and what its policy forbids.
    fn complaints(&self) -> Vec<String> {
        let said = self.wire.so_far();
        said.lines().filter(|line| line.contains("Runtime.exceptionThrown")).map(str::to_owned).collect()
    }
}

#[test]
fn the_page_lists_sorts_filters_and_searches() {
    let Some(folder) = Folder::served(&[]) else { return };
    for (name, content) in [
        ("b10.txt", "x"),
        ("b9.txt", "xxx"),
        ("<img src=x onerror=document.title='harmed'>", "xx"),
        ("in/deep.txt", "x"),
    ] {
        folder.write(name, content);
    }
    folder.write(
        "README.md",
        "# Read [me](javascript:document.title='harmed')\n\n<img src=x onerror=document.title='harmed'>",
    );
    let Some(mut browser) = Browser::open(&folder.home, &folder.server.at[0]) else { return };
    let hostile = "<img src=x onerror=document.title='harmed'>";
    assert_eq!(browser.shown(), ["in/", hostile, "b9.txt", "b10.txt", "README.md"]);
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0, "names and texts are no markup");
    browser.value("document.querySelector('article a').click()");
    assert_eq!(browser.value("document.title"), "Files");
    // The style is there: without it the list would be as wide as the window.
    assert_eq!(browser.value("getComputedStyle(document.querySelector('#list table')).borderTopLeftRadius"), "12px");

    browser.value("document.querySelector('th.size button').click()");
    browser.until("location.search === '?sort=-size' && document.readyState === 'complete'");
    assert_eq!(browser.shown(), ["in/", "README.md", "b9.txt", hostile, "b10.txt"]);

    let typed = |words: &str| {
        format!(
            "{{ const q = document.querySelector('[name=q]'); q.value = '{words}'; q.dispatchEvent(new Event('input', {{bubbles: true}})) }}"
        )
    };
    browser.value(&typed("b .TXT"));
    assert_eq!(browser.shown(), ["b9.txt", "b10.txt"]);
    browser.value(&typed("deep"));
    assert!(browser.shown().is_empty());
    browser.until("document.querySelector('#none').innerText.includes('Enter')");
    browser.value("document.querySelector('[role=search] button').click()");
    browser.until("location.search === '?q=deep' && document.readyState === 'complete'");
    assert_eq!(browser.shown(), ["in/deep.txt"]);
    browser.value("document.querySelector('tbody a').click()");
    browser.until("location.pathname === '/in/deep.txt'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_sends_files_and_shows_them() {
    let Some(folder) = Folder::served(&["--upload", "--overwrite"]) else { return };
    let Some(mut browser) = Browser::open(&folder.home, &folder.server.at[0]) else { return };
    let large = noise(40 << 20);
    let files =
        [folder.home.file("small ü.txt", "small"), folder.home.file("large", &large), folder.home.file("empty", "")];
    browser.choose(&files.each_ref().map(String::as_str));
    browser.until("document.querySelectorAll('#sending li.done').length === 3 && document.querySelectorAll('tbody tr').length === 3");
    assert_eq!(browser.shown(), ["empty", "large", "small ü.txt"]);
    assert!(folder.read("large") == large);
    assert_eq!((folder.read("small ü.txt"), folder.read("empty")), (b"small".to_vec(), vec![]));
    let sum = browser.value("document.querySelector('#sum').innerText");
    assert!(sum.as_str().unwrap().starts_with("3 of 3 files sent"), "{sum}");
    assert_eq!(browser.value("localStorage.getItem('uploads')"), "[]");

    // What is there is replaced when the reader says so, and not before.
    folder.home.file("large", "another");
    browser.choose(&[&files[1]]);
    browser.until("document.querySelector('#sending li.failed')?.innerText.includes('there already')");
    assert!(folder.read("large") == large);
    browser.value("document.querySelector('#sending li.failed .does button').click()");
    browser.until(
        "!document.querySelector('#sending li.failed') && document.querySelectorAll('#sending li.done').length === 4",
    );
    assert_eq!(folder.read("large"), b"another");

    // A folder is made without a script.
    browser.value(
        "{ const f = document.querySelector('form.folder'); f.elements.name.value = 'new'; f.requestSubmit(); }",
    );
    browser.until("[...document.querySelectorAll('tbody tr')].some(row => row.innerText.includes('new/'))");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(folder.names(), ["empty", "large", "new", "small ü.txt"]);
}

#[test]
fn what_is_dropped_is_sent_with_its_folders() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let Some(mut browser) = Browser::open(&folder.home, &folder.server.at[0]) else { return };
    for inner in ["tree/in/ner", "tree/empty"] {
        fs::create_dir_all(folder.home.path(inner)).unwrap();
    }
    let files = [folder.home.path("tree"), folder.home.file("single", "1")];
    folder.home.file("tree/a", "a");
    folder.home.file("tree/in/ner/b", "b");
    let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
    for kind in ["dragEnter", "dragOver", "drop"] {
        browser.call("Input.dispatchDragEvent", json!({ "type": kind, "x": 50, "y": 50, "data": data }));
    }
    browser.until("document.querySelectorAll('#sending li.done').length === 3 && document.querySelectorAll('tbody tr').length === 2");
    assert_eq!(browser.value("document.querySelector('#over')"), Value::Null);
    assert_eq!((folder.read("single"), folder.read("tree/a")), (b"1".to_vec(), b"a".to_vec()));
    assert_eq!(folder.read("tree/in/ner/b"), b"b");
    eventually("the empty folder", || fs::metadata(folder.home.path("shared/tree/empty")).is_ok_and(|it| it.is_dir()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_goes_on_with_an_upload_that_broke() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let at = folder.server.at[0].clone();
    let Some(mut browser) = Browser::open(&folder.home, &at) else { return };
    let content = noise(48 << 20);
    let file = folder.home.file("file", &content);
    // So slow that it is under way when the server goes away.
    browser.call("Network.enable", json!({}));
    let slow = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 24 << 20 });
    browser.call("Network.emulateNetworkConditions", slow);
    browser.choose(&[&file]);
    browser.until("document.querySelector('#sending progress')?.value > 33 * 2**20");
    let Folder { home, server } = folder;
    server.program.signal(rustix::process::Signal::KILL);
    drop(server);
    browser.until("document.querySelector('#sending li.waits')?.innerText.includes('another attempt')");
    let parts = fs::read_dir(home.path("shared")).unwrap().count();
    assert_eq!(parts, 1, "what has come is there");
    let fast = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.call("Network.emulateNetworkConditions", fast);
    let server = home.serve(&["files", "shared", at.trim_end_matches('/'), "--upload"], 1);
    browser.until("document.querySelector('#sending li.done') !== null");
    let folder = Folder { home, server };
    assert!(folder.read("file") == content);
    assert_eq!(folder.names(), ["file"]);
}
