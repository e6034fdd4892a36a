//! The page in Chromium.

use std::fs;

use serde_json::{Value, json};

use crate::{
    Folder,
    common::{browser::Browser, eventually, noise},
};

/// The names in the list that are to be seen.
fn shown(browser: &mut Browser) -> Vec<String> {
    let names = browser.value(
        "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.cells[0].innerText.trim())",
    );
    serde_json::from_value(names).unwrap()
}

fn choose(browser: &mut Browser, files: &[&str]) {
    let page = browser.call("DOM.getDocument", json!({}));
    let input = json!({ "nodeId": page["root"]["nodeId"], "selector": "#choose" });
    let input = browser.call("DOM.querySelector", input);
    browser.call("DOM.setFileInputFiles", json!({ "nodeId": input["nodeId"], "files": files }));
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
    assert_eq!(shown(&mut browser), ["in/", hostile, "b9.txt", "b10.txt", "README.md"]);
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0, "names and texts are no markup");
    browser.value("document.querySelector('article a').click()");
    assert_eq!(browser.value("document.title"), "Files");
    // The style is there: without it the list would be as wide as the window.
    assert_eq!(browser.value("getComputedStyle(document.querySelector('#list table')).borderTopLeftRadius"), "12px");

    browser.value("document.querySelector('th.size button').click()");
    browser.until("location.search === '?sort=-size' && document.readyState === 'complete'");
    assert_eq!(shown(&mut browser), ["in/", "README.md", "b9.txt", hostile, "b10.txt"]);

    let typed = |words: &str| {
        format!(
            "{{ const q = document.querySelector('[name=q]'); q.value = '{words}'; q.dispatchEvent(new Event('input', {{bubbles: true}})) }}"
        )
    };
    browser.value(&typed("b .TXT"));
    assert_eq!(shown(&mut browser), ["b9.txt", "b10.txt"]);
    browser.value(&typed("deep"));
    assert!(shown(&mut browser).is_empty());
    browser.until("document.querySelector('#none').innerText.includes('Enter')");
    browser.value("document.querySelector('[role=search] button').click()");
    browser.until("location.search === '?q=deep' && document.readyState === 'complete'");
    assert_eq!(shown(&mut browser), ["in/deep.txt"]);
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
    choose(&mut browser, &files.each_ref().map(String::as_str));
    browser.until("document.querySelectorAll('#sending li.done').length === 3 && document.querySelectorAll('tbody tr').length === 3");
    assert_eq!(shown(&mut browser), ["empty", "large", "small ü.txt"]);
    assert!(folder.read("large") == large);
    assert_eq!((folder.read("small ü.txt"), folder.read("empty")), (b"small".to_vec(), vec![]));
    let sum = browser.value("document.querySelector('#sum').innerText");
    assert!(sum.as_str().unwrap().starts_with("3 of 3 files sent"), "{sum}");
    assert_eq!(browser.value("localStorage.getItem('uploads')"), "[]");

    // What is there is replaced when the reader says so, and not before.
    folder.home.file("large", "another");
    choose(&mut browser, &[&files[1]]);
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
    choose(&mut browser, &[&file]);
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
