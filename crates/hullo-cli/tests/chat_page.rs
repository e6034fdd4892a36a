#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The page of `hullo serve chat` in Chromium, with other browsers, a terminal and nc in the same rooms.

mod common;

use common::{Home, Program, Server, browser::Browser, peer};
use rustix::process::Signal;
use serde_json::json;

/// A server with a door for browsers and one for lines.
struct Chat {
    home: Home,
    server: Server,
}

impl Chat {
    fn served(words: &[&str]) -> Self {
        let home = Home::new();
        let server = home.serve(&[&["chat", "http://127.0.0.1:0", "tcp://127.0.0.1:0"], words].concat(), 2);
        Self { home, server }
    }

    /// The same rooms at the same addresses, by another process, after this one was killed.
    fn killed(self) -> impl FnOnce() -> Self {
        let Self { home, server } = self;
        let at = server.at.clone();
        server.program.signal(Signal::KILL);
        drop(server);
        move || {
            let server = home.serve(&["chat", at[0].trim_end_matches('/'), &at[1]], 2);
            Self { home, server }
        }
    }

    /// Somebody who came with a browser, and has given that name.
    fn person(&self, name: &str) -> Option<Person> {
        let mut browser = Browser::open(&self.home, &self.server.at[0])?;
        browser.looks((1280, 800), "light");
        let mut person = Person(browser);
        person.enters_as(name);
        Some(person)
    }

    /// Somebody with a terminal, which is a pipe here.
    fn terminal(&self, name: &str) -> Program {
        let terminal = Program::start(&mut self.home.hullo(&["chat", &self.server.at[0], "--name", name]));
        terminal.heard_by(|said| said.contains("in lobby (") && said.contains(name));
        terminal
    }

    /// Somebody with no client at all.
    fn nc(&self, name: &str) -> Option<Program> {
        let port = self.server.port(1).to_string();
        let mut nc = Program::start(self.home.command(peer("nc.openbsd")?).args(["127.0.0.1", &port]));
        nc.heard("/help says more");
        nc.say(format!("/nick {name}\n"));
        nc.heard(&format!("is now called {name}"));
        Some(nc)
    }
}

/// Somebody in a browser.
struct Person(Browser);

impl Person {
    #[track_caller]
    fn enters_as(&mut self, name: &str) {
        self.0.until("document.querySelector('#ask').open");
        self.0.types(name);
        self.0.presses("Enter");
        let listed =
            format!("[...document.querySelectorAll('#people-list bdi')].some(name => name.innerText === '{name}')");
        self.0.until(&format!("document.querySelector('#state').hidden && {listed}"));
    }

    /// Types a message or a command, and sends it.
    #[track_caller]
    fn says(&mut self, text: &str) {
        self.0.value("document.querySelector('#text').focus()");
        self.0.types(text);
        self.0.presses("Enter");
    }

    /// The messages that are shown, without what is beside them.
    #[track_caller]
    fn sees(&mut self) -> Vec<String> {
        serde_json::from_value(self.0.value(SHOWN)).unwrap()
    }

    /// Waits for that many messages, all of which the server has on disk.
    #[track_caller]
    fn sees_all(&mut self, count: usize) -> Vec<String> {
        self.0.until(&format!("{SHOWN}.length === {count} && !document.querySelector('#log .sending')"));
        self.sees()
    }

    #[track_caller]
    fn sees_text(&mut self, selector: &str, text: &str) {
        self.0.until(&format!("document.querySelector('{selector}')?.innerText.includes({})", json!(text)));
    }
}

const SHOWN: &str = "[...document.querySelectorAll('#log li.message .text')].map(text => text.innerText)";

#[test]
fn browsers_a_terminal_and_nc_see_the_same_in_one_order() {
    let chat = Chat::served(&[]);
    let Some(mut nc) = chat.nc("nelly") else { return };
    let mut terminal = chat.terminal("terry");
    let Some(mut ann) = chat.person("ann") else { return };
    let mut bob = chat.person("bob").unwrap();
    for n in 0..3 {
        nc.say(format!("nelly {n}\n"));
        ann.says(&format!("ann {n}"));
        terminal.say(format!("terry {n}\n"));
        bob.says(&format!("bob {n}"));
    }
    let seen = ann.sees_all(12);
    assert_eq!(seen, bob.sees_all(12));
    for (name, program) in [("nelly", &nc), ("terry", &terminal)] {
        // What one has typed oneself does not come back as a line.
        let others: Vec<_> = seen.iter().filter(|text| !text.starts_with(name)).collect();
        let heard = program.heard_by(|heard| others.iter().all(|text| heard.contains(text.as_str())));
        let heard: Vec<_> =
            heard.lines().filter_map(|line| line.split_once(": ")).map(|(_, text)| text.to_owned()).collect();
        assert_eq!(heard.iter().filter(|text| others.contains(text)).collect::<Vec<_>>(), others, "{name}");
        assert!(!heard.iter().any(|text| text.starts_with(name)), "{heard:?}");
    }
    // Who comes later reads the same.
    assert_eq!(chat.person("carla").unwrap().sees_all(12), seen);
    assert_eq!((ann.0.complaints(), bob.0.complaints()), (vec![], vec![]));
}

#[test]
fn people_find_what_they_expect() {
    let chat = Chat::served(&[]);
    let Some(mut ann) = chat.person("ann") else { return };
    let mut bob = chat.person("bob").unwrap();
    // The name is somebody's.
    let mut other = Person(Browser::open(&chat.home, &chat.server.at[0]).unwrap());
    other.0.until("document.querySelector('#ask').open");
    other.0.types("ann");
    other.0.presses("Enter");
    other.sees_text("#ask .error", "taken");
    drop(other);

    ann.says("helo");
    bob.0.until(&format!("{SHOWN}.includes('helo')"));
    ann.sees_all(1);
    ann.0.value("document.querySelector('#text').focus()");
    ann.0.presses("ArrowUp");
    ann.0.value("document.querySelector('#text').select()");
    ann.says("hello");
    bob.0.until(&format!("{SHOWN}.some(text => text.startsWith('hello') && text.includes('edited'))"));
    bob.says("no");
    ann.sees_all(2);
    ann.says("/delete");
    ann.0.until("document.querySelector('#ask').open");
    ann.0.presses("Enter");
    bob.0.until(&format!("{SHOWN}[0].includes('taken back')"));

    // Names are completed, and whoever is mentioned elsewhere sees it.
    bob.says("/join dev");
    bob.sees_text("#title", "#dev");
    ann.0.value("document.querySelector('#text').focus()");
    ann.0.types("@b");
    ann.0.presses("Tab");
    assert_eq!(ann.0.value("document.querySelector('#text').value"), "@bob ");
    ann.says("look here");
    bob.sees_text("#room-list .mentioned", "@ 1");
    assert_eq!(bob.0.value("document.title"), "(1) #dev · Chat");
    bob.0.value(
        "[...document.querySelectorAll('#room-list button')].find(room => room.innerText.includes('lobby')).click()",
    );
    bob.sees_text("#log .news + .line", "look here");
    bob.0.until("!document.querySelector('.badge.mentioned')");

    // What is on disk can be found.
    ann.sees_all(3);
    ann.says("/msg bob between us");
    bob.sees_text("#private-list", "ann");
    bob.says("/search look");
    bob.0.until("document.querySelectorAll('#results li').length === 1");
    bob.0.value("document.querySelector('#results button').click()");
    bob.0.until("document.activeElement.matches('#log li') && document.activeElement.innerText.includes('look here')");

    // An operator closes the room, invites with a link, and puts somebody out.
    bob.says("/join dev");
    bob.says("/invite");
    bob.0.until("document.querySelector('#ask input')?.value.includes('token=')");
    let link = bob.0.value("document.querySelector('#ask input').value");
    bob.0.presses("Escape");
    ann.says("/join dev");
    ann.sees_text("#toasts", "for the invited");
    ann.0.go(link.as_str().unwrap());
    ann.sees_text("#title", "#dev");
    assert!(!ann.0.value("location.href").as_str().unwrap().contains("token"));
    bob.says("/kick ann enough");
    ann.sees_text("#toasts", "enough");
    ann.sees_text("#title", "#lobby");
    assert_eq!((ann.0.complaints(), bob.0.complaints()), (vec![], vec![]));
}

#[test]
fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let chat = Chat::served(&[]);
    let Some(mut ann) = chat.person("ann") else { return };
    let mut bob = chat.person("bob").unwrap();
    ann.says("one");
    bob.says("two");
    ann.sees_all(2);
    bob.sees_all(2);
    let start = chat.killed();
    ann.sees_text("#state", "Reconnecting in");
    ann.says("three");
    ann.says("four");
    bob.sees_text("#state", "Reconnecting in");
    bob.says("five");
    let chat = start();
    let mut terminal = chat.terminal("terry");
    terminal.say("six\n");
    let seen = ann.sees_all(6);
    assert_eq!(bob.sees_all(6), seen);
    assert_eq!(seen[..2], ["one", "two"]);
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(sorted, ["five", "four", "one", "six", "three", "two"]);
    let at = |text: &str| seen.iter().position(|other| other == text).unwrap();
    assert!(at("three") < at("four"), "{seen:?}");
    assert_eq!(ann.0.value("document.querySelectorAll('#people-list li').length"), 3);
    // So does who reads it from the start.
    let at = chat.server.at[0].clone();
    ann.0.go(&at);
    assert_eq!(ann.sees_all(6), seen);
    assert_eq!(chat.person("carla").unwrap().sees_all(6), seen);
}

/// Puts what harms in the place of a word in all that the server says, since our server lets no such name through.
const HARMFUL_SERVER: &str = r#"
const Real = WebSocket;
window.WebSocket = class extends Real {
  set onmessage(hears) {
    const harmful = (data) => data.replaceAll(/HARM(?!ed)/gi, "<img src=x onerror='window.harmed=1'>");
    super.onmessage = hears && (({ data }) => hears({ data: harmful(data) }));
  }
};"#;

#[test]
fn no_name_text_topic_or_room_becomes_markup() {
    let chat = Chat::served(&[]);
    let Some(mut ann) = chat.person("ann") else { return };
    let mut harm = chat.terminal("HARM");
    ann.0.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": HARMFUL_SERVER }));
    ann.0.go(&chat.server.at[0]);
    ann.sees_text("#people-list", "<img src=x");
    let texts = [
        "HARM",
        "<script>window.harmed=1</script><svg onload=window.harmed=1>",
        "javascript:window.harmed=1 data:text/html,<script>1</script>",
        "https://example.org/\"onmouseover=\"window.harmed=1 http://[::1 https://a.b/'><img src=x onerror=window.harmed=1>",
        "@HARM @ann {{constructor}} ${window.harmed=1} &lt;b&gt;",
    ];
    for text in texts {
        harm.say(format!("{text}\n"));
    }
    harm.say("/topic HARM\n/msg ann HARM\n/me HARM\n");
    ann.sees_text("#topic", "<img src=x");
    ann.sees_text("#private-list", "<img src=x");
    ann.0.until(&format!("{SHOWN}.length === 6"));
    assert_eq!(ann.sees()[1], texts[1], "it is shown as it was said");
    // And in what is opened: the menu of a person, the list of rooms, what was found, a completion.
    ann.says("/join HARM");
    ann.sees_text("#room-list", "<img src=x");
    ann.0.value("document.querySelector('#people-list li:not(:has(small)) button').click()");
    ann.sees_text("#menu", "<img src=x");
    ann.0.presses("Escape");
    ann.says("/rooms");
    ann.sees_text(".offers", "<img src=x");
    ann.0.presses("Escape");
    ann.says("/search HARM");
    ann.sees_text("#results", "<img src=x");
    ann.0.value("document.querySelector('#text').focus()");
    ann.0.types("@<");
    ann.sees_text("#completions", "<img src=x");
    ann.0.until("document.title.includes('Chat')");

    let made = "document.querySelectorAll('img, iframe, object, embed, script:not([src=\"chat.js\"]), [onload], [onerror]').length";
    assert_eq!(ann.0.value(made), 0);
    let links = "[...document.links].map(link => [link.protocol, link.rel, link.getAttributeNames().join()].join(' '))";
    assert_eq!(
        ann.0.value(links),
        json!([
            "https: noopener noreferrer nofollow href,target,rel,dir",
            "https: noopener noreferrer nofollow href,target,rel,dir"
        ])
    );
    assert_eq!(ann.0.value("window.harmed"), json!(null));
    assert_eq!(ann.0.complaints(), Vec::<String>::new());
    // If something became markup after all, it would still not run.
    ann.0.value("document.body.insertAdjacentHTML('beforeend', \"<img src=x onerror='window.harmed=1'>\")");
    ann.0.value("document.body.append(Object.assign(document.createElement('script'), { text: 'window.harmed=2' }))");
    ann.0.until("document.querySelector('img').complete");
    assert_eq!(ann.0.value("window.harmed"), json!(null));
    assert_ne!(ann.0.complaints(), Vec::<String>::new(), "the policy says so");
}

#[test]
fn the_page_holds_few_of_many_messages_and_all_can_be_read() {
    const MANY: usize = 5000;
    let chat = Chat::served(&["--flood", "off"]);
    let Some(mut ann) = chat.person("ann") else { return };
    // Which waits for nobody.
    let Some(mut nc) = chat.nc("nelly") else { return };
    nc.say((0..MANY).map(|n| format!("line {n}\n")).collect::<String>());
    ann.0.until(&format!("{SHOWN}.at(-1) === 'line {}'", MANY - 1));
    let lines = "document.querySelectorAll('#log li').length";
    assert!(ann.0.value(lines).as_u64().unwrap() < 400);
    // Each piece that one comes by has no gap, up to the first of them.
    let up = format!(
        "(numbers => {{ window.hasGap ||= numbers.some((n, at) => at > 0 && n !== numbers[at - 1] + 1); \
         document.querySelector('#scroller').scrollTop = 0; return numbers[0] === 0; }}) \
         ({SHOWN}.map(text => Number(text.split(' ')[1])))"
    );
    ann.0.until(&up);
    assert_eq!(ann.0.value("window.hasGap"), false);
    assert!(ann.0.value(lines).as_u64().unwrap() < 400);
    ann.0.value("document.querySelector('#to-end').click()");
    ann.0.until(&format!("{SHOWN}.at(-1) === 'line {}'", MANY - 1));
    assert_eq!(ann.0.complaints(), Vec::<String>::new());
}

#[test]
fn it_fits_on_a_phone_and_a_desktop_light_and_dark() {
    let chat = Chat::served(&[]);
    let Some(mut ann) = chat.person("ann") else { return };
    let mut terminal = chat.terminal("terry");
    let long = "w".repeat(600);
    terminal.say(format!(
        "/topic {}\n{long}\nhttps://example.org/{long}\n\u{5e9}\u{5dc}\u{5d5}\u{5dd} 123\n",
        &long[..300]
    ));
    for n in 0..4 {
        ann.says(&format!("message {n}"));
    }
    ann.sees_all(7);
    let mut backgrounds = vec![];
    for (size, scheme) in [((390, 844), "light"), ((390, 844), "dark"), ((1280, 800), "light"), ((1280, 800), "dark")] {
        ann.0.looks(size, scheme);
        // Nothing reaches out at a side, the last message stands above the composer, and the composer in the window.
        ann.0.until(&format!("innerWidth === {}", size.0));
        let out = "[...document.querySelectorAll('main *')].filter(one => { \
                   const box = one.getBoundingClientRect(); \
                   return box.width > 1 && !one.closest('.from') && (box.left < 0 || box.right > innerWidth); \
                   }).map(one => one.outerHTML.slice(0, 99))";
        assert_eq!(ann.0.value(out), json!([]), "{size:?}");
        ann.0.until("document.querySelector('#scroller').scrollWidth <= innerWidth");
        let bottom = |of: &str| format!("document.querySelector('{of}').getBoundingClientRect().bottom");
        ann.0.until(&format!("{} <= {} + 8", bottom("#log"), bottom("#scroller")));
        ann.0.until(&format!("{} <= innerHeight", bottom("#send")));
        backgrounds.push(ann.0.value("getComputedStyle(document.querySelector('main')).backgroundColor"));
        if size.0 == 390 {
            // The rooms are a drawer, out of which Escape leads back.
            ann.0.value("document.querySelector('#open-rooms').click()");
            ann.0.until("document.querySelector('#room-list button').getBoundingClientRect().left >= 0 && document.querySelector('#main').inert");
            ann.0.value("document.querySelector('#room-list button').focus()");
            ann.0.presses("Escape");
            ann.0.until("document.activeElement.id === 'open-rooms' && !document.querySelector('#main').inert");
        }
    }
    assert_eq!(backgrounds[0], backgrounds[2]);
    assert_eq!(backgrounds[1], backgrounds[3]);
    assert_ne!(backgrounds[0], backgrounds[1]);
    assert_eq!(ann.0.complaints(), Vec::<String>::new());
}
