//! What a listing shows, in each of its forms.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::symlink, time::Duration};

use serde_json::Value;

use crate::{Folder, common::eventually};

fn json(folder: &Folder, path: &str) -> Value {
    serde_json::from_str(&folder.asked(path, &[], 200, "entries")).unwrap()
}

fn names(listing: &Value) -> Vec<&str> {
    listing["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[test]
fn a_listing_is_sorted_as_it_is_asked_to_be() {
    let Some(folder) = Folder::served(&[]) else { return };
    for (name, size, age) in [("file10", 5, 30), ("file9", 50_000, 10), ("File1", 500, 20)] {
        folder.write(name, vec![b'x'; size]);
        let file = fs::File::options().write(true).open(folder.home.path(&format!("shared/{name}"))).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    for name in ["b", "a"] {
        fs::create_dir(folder.home.path(&format!("shared/{name}"))).unwrap();
    }
    folder.write(".hidden", "x");
    for (query, wanted) in [
        ("?simple", ["a/", "b/", "File1", "file9", "file10"]),
        ("?simple&sort=name", ["a/", "b/", "File1", "file9", "file10"]),
        ("?simple&sort=-name", ["b/", "a/", "file10", "file9", "File1"]),
        ("?simple&sort=size", ["a/", "b/", "file10", "File1", "file9"]),
        ("?simple&sort=-size", ["b/", "a/", "file9", "File1", "file10"]),
    ] {
        assert_eq!(folder.asked(&format!("/{query}"), &[], 200, "").lines().collect::<Vec<_>>(), wanted, "{query}");
    }
    let by_time = folder.asked("/?simple&sort=time", &[], 200, "");
    assert!(by_time.ends_with("file10\nFile1\nfile9\n"), "{by_time}");
    assert_eq!(names(&json(&folder, "/?json&sort=name&offset=3&limit=1")), ["file9"]);
    folder.asked("/?sort=colour", &[], 400, "sort is name, size or time");
    folder.asked("/?offset=-1", &[], 400, "whole numbers");
    // The form may be asked for by its type too.
    folder.asked("/", &["-H", "Accept: application/json"], 200, "\"kind\":\"folder\"");
    folder.asked("/", &["-H", "Accept: text/plain"], 200, "file9\n");
    let page = folder.asked("/?sort=-size", &["-H", "Accept: text/html"], 200, "<!doctype html>");
    assert!(page.find("file9").unwrap() < page.find("file10").unwrap(), "{page}");
    assert!(page.contains("class=\"size\" aria-sort=\"descending\"") && !page.contains(">.hidden"));
}

#[test]
fn a_search_looks_below_and_no_link_leads_out() {
    let Some(folder) = Folder::served(&[]) else { return };
    for name in ["report.txt", "2026/Report final.TXT", "2026/deep/er/report", "2026/other", ".secret/report"] {
        folder.write(name, "x");
    }
    folder.home.file("report outside", "x");
    symlink(folder.home.path(""), folder.home.path("shared/out")).unwrap();
    symlink("..", folder.home.path("shared/2026/up")).unwrap();
    symlink("other", folder.home.path("shared/2026/report link")).unwrap();
    let found = json(&folder, "/?json&q=REPORT");
    assert_eq!(names(&found), ["2026/deep/er/report", "2026/Report final.TXT", "2026/report link", "report.txt"]);
    assert_eq!((&found["complete"], &found["total"]), (&Value::Bool(true), &4.into()));
    assert_eq!(names(&json(&folder, "/?json&q=final+2026")), ["2026/Report final.TXT"]);
    assert_eq!(names(&json(&folder, "/2026/?json&q=deep+report")), ["deep/er/report"]);
    assert_eq!(names(&json(&folder, "/?json&q=nothing")), Vec::<&str>::new());
    // A link that leads out is not there, and neither is one that leads nowhere.
    assert_eq!(names(&json(&folder, "/?json")), ["2026", "report.txt"]);
}

/// Names that are markup, paths, escapes or no text at all.
const HOSTILE: &[&[u8]] = &[
    b"<script>alert(1)",
    b"\"><img src=x onerror=alert(1)>",
    b"'onmouseover='alert(1)",
    b"javascript:alert(1)",
    b"{{rows}}",
    b"100%41.txt",
    b"a?b#c&d;e",
    b"new\nline",
    b"\x1b[2Jescape",
    b"bad\xff\xfebytes",
    "gpj.\u{202e}exe".as_bytes(),
    b" space ",
    b"..x",
    b"back\\slash",
    "ä ö".as_bytes(),
];

#[test]
fn hostile_names_are_shown_and_lead_to_their_files() {
    let Some(folder) = Folder::served(&["--hidden"]) else { return };
    for name in HOSTILE {
        let path = folder.home.path("shared") + "/";
        fs::write([OsStr::new(&path), OsStr::from_bytes(name)].concat_os(), name).unwrap();
    }
    let page = folder.asked("/", &[], 200, "");
    let list = page.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    let links: Vec<_> = list.split("href=\"./").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), HOSTILE.len(), "{list}");
    for tag in list.split('<').skip(1).map(|tag| tag.split(['>', ' ']).next().unwrap()) {
        let known = ["tr", "td", "a", "bdi", "span", "time", "/tr", "/td", "/a", "/bdi", "/span", "/time"];
        assert!(known.contains(&tag), "<{tag}> in {list}");
    }
    assert!(!list.contains(['\x1b', '\u{202e}', '\'']) && list.contains("new\\u{a}line") && list.contains("bad\\xff"));
    let listing = json(&folder, "/?json");
    let hrefs: Vec<_> =
        listing["entries"].as_array().unwrap().iter().map(|entry| entry["href"].as_str().unwrap()).collect();
    assert_eq!(links.len(), hrefs.len());
    // Each link leads to the file of that name, whose content is its name.
    let mut read: Vec<Vec<u8>> = links
        .iter()
        .map(|link| {
            assert!(hrefs.contains(link), "{link}");
            let url = format!("{}/{link}", folder.server.at[0].trim_end_matches('/'));
            crate::run(folder.home.command("curl").args(["-sS", "-g", &url]), "").good()
        })
        .collect();
    let mut wanted: Vec<_> = HOSTILE.iter().map(|name| name.to_vec()).collect();
    read.sort();
    wanted.sort();
    assert_eq!(read, wanted);
    // On a terminal nothing of it steers.
    let simple = folder.asked("/?simple", &[], 200, "");
    assert!(simple.lines().count() == HOSTILE.len() && !simple.contains(['\x1b', '\u{202e}']), "{simple:?}");
}

trait ConcatOs {
    fn concat_os(&self) -> std::ffi::OsString;
}

impl ConcatOs for [&OsStr; 2] {
    fn concat_os(&self) -> std::ffi::OsString {
        let mut all = self[0].to_owned();
        all.push(self[1]);
        all
    }
}

#[test]
fn a_folder_of_a_hundred_thousand_is_shown_in_pages() {
    let Some(folder) = Folder::served(&[]) else { return };
    for at in 0..100_000 {
        fs::File::create(folder.home.path(&format!("shared/f{at}"))).unwrap();
    }
    let page = folder.asked("/", &[], 200, "100,000 files");
    assert_eq!(page.matches("<tr><td").count(), 1000);
    assert!(page.contains("1 to 1,000 of 100,000") && page.contains("offset=1000"), "no way on");
    let last = folder.asked("/?sort=name&offset=99000", &[], 200, "99,001 to 100,000 of 100,000");
    assert!(last.contains(">f99999<") && !last.contains(">Next<"));
    let all = json(&folder, "/?json");
    assert_eq!((names(&all).len(), &all["complete"]), (100_000, &Value::Bool(true)));
    assert_eq!(names(&all)[99_999], "f99999");
    assert_eq!(names(&json(&folder, "/?json&q=f77777")), ["f77777"]);
}

#[test]
fn the_readme_is_shown_and_does_nothing() {
    let Some(folder) = Folder::served(&[]) else { return };
    folder.write("README.md", "# Hullo *you*\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))");
    let page = folder.asked("/", &[], 200, "<h1>Hullo <em>you</em></h1>");
    assert_eq!(page.matches("<script>").count(), 1, "our own alone");
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("javascript:"), "{page}");
    folder.write("text/readme.txt", "1 < 2");
    folder.asked("/text/", &[], 200, "<pre class=\"text\">1 &lt; 2</pre>");
    let policy = folder.header("/", &[], "content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    // What another program changes is there the next time.
    fs::remove_file(folder.home.path("shared/README.md")).unwrap();
    eventually("the page without a README", || !folder.curl("/", &[]).1.contains("<article>"));
}
