//! The screen without a terminal: events and keys in, rows out.

use std::time::Duration;

use hullo::chat::{Ask, At, Event, Presence, Said};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
};

use super::{
    News, Wish,
    clock::Clock,
    draw::draw,
    state::{State, Uids},
};

/// The moment at which all of this happens: 22:13 on a Tuesday.
const NOW: i64 = 1_700_000_000_000;

fn state() -> State {
    let mut state = State::new("ws://host/".into(), false, true, Clock::utc(), Uids::new("mine".into()));
    state.hear(News::Here, NOW);
    let private = Vec::new();
    tell(
        &mut state,
        Event::Welcome { name: "ann".into(), account: false, token: "t".into(), log: "L".into(), private },
    );
    joined(&mut state, "lobby", &["ann", "bob", "carol"], None);
    state
}

fn tell(state: &mut State, event: Event) {
    state.hear(News::Event(Box::new(event)), NOW);
}

fn joined(state: &mut State, room: &str, people: &[&str], recovered: Option<bool>) {
    let people: Vec<_> = people.iter().map(ToString::to_string).collect();
    let (count, topic) = (people.len(), "what we talk about".to_owned());
    tell(
        state,
        Event::Joined { room: room.into(), topic, people, count, last: 0, recovered, operator: false, closed: false },
    );
}

fn said(id: u64, room: &str, from: &str, text: &str) -> Said {
    let at = At { id, uid: format!("u{id}"), room: room.into(), from: from.into(), time: NOW };
    Said { at, text: text.into(), me: false, edited: None, deleted: false }
}

fn hear(state: &mut State, id: u64, room: &str, from: &str, text: &str) {
    tell(state, Event::Message(said(id, room, from, text)));
}

fn press(state: &mut State, code: KeyCode, modifiers: KeyModifiers) -> Vec<Wish> {
    state.act(Input::Key(KeyEvent::new(code, modifiers)), NOW)
}

fn key(state: &mut State, code: KeyCode) -> Vec<Wish> {
    press(state, code, KeyModifiers::NONE)
}

/// Types the text and Enter, and returns what comes of it beside that we were writing.
fn enter(state: &mut State, text: &str) -> Vec<Wish> {
    text.chars().for_each(|c| _ = key(state, KeyCode::Char(c)));
    key(state, KeyCode::Enter)
}

/// The rows of the screen.
fn seen(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, NOW)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

#[track_caller]
fn has(rows: &[String], text: &str) {
    assert!(rows.iter().any(|row| row.contains(text)), "no {text:?} in {rows:#?}");
}

#[track_caller]
fn lacks(rows: &[String], text: &str) {
    assert!(!rows.iter().any(|row| row.contains(text)), "{text:?} in {rows:#?}");
}

#[test]
fn a_wide_screen_has_rooms_talk_people_and_topic() {
    let mut state = state();
    hear(&mut state, 1, "lobby", "bob", "hello");
    let rows = seen(&mut state, 80, 10);
    assert!(rows[0].starts_with(" lobby  what we talk about") && rows[0].ends_with("3 here"), "{}", rows[0]);
    assert!(rows[1].starts_with("1 lobby") && rows[1].ends_with("│ann"), "{}", rows[1]);
    assert!(rows[7].contains("│22:13 bob: hello"), "{rows:#?}");
    has(&rows, "Tue 14 Nov 2023");
    assert_eq!(rows[8], " ann · ws://host/");
    assert_eq!(rows[9], "ann>");
}

#[test]
fn a_narrow_screen_is_for_the_talk() {
    let mut state = state();
    joined(&mut state, "dev", &["ann"], None);
    hear(&mut state, 1, "lobby", "bob", "some words that are too many for one row");
    hear(&mut state, 2, "dev", "bob", "elsewhere");
    let rows = seen(&mut state, 40, 12);
    assert_eq!(rows[8], "22:13 bob: some words that are too many");
    assert_eq!(rows[9], "      for one row");
    has(&rows, "1 unread elsewhere");
    for (width, height) in [(1, 1), (2, 3), (5, 2), (20, 4), (56, 1), (72, 2)] {
        seen(&mut state, width, height);
    }
}

#[test]
fn what_was_not_seen_is_counted_and_marked() {
    let mut state = state();
    joined(&mut state, "dev", &["ann", "bob"], None);
    hear(&mut state, 1, "dev", "bob", "old");
    _ = press(&mut state, KeyCode::Char('2'), KeyModifiers::ALT);
    _ = press(&mut state, KeyCode::Char('1'), KeyModifiers::ALT);
    hear(&mut state, 2, "dev", "bob", "new");
    hear(&mut state, 3, "dev", "bob", "hey Ann!");
    joined(&mut state, "@ann+bob", &["ann", "bob"], None);
    hear(&mut state, 4, "@ann+bob", "bob", "psst");
    let rows = seen(&mut state, 80, 12);
    assert!(rows[2].starts_with("2 dev       2│"), "{rows:#?}");
    assert!(rows[3].starts_with("3 @bob      1│"), "{rows:#?}");
    assert!(state.rooms[1].mentioned && state.rooms[2].mentioned);
    _ = press(&mut state, KeyCode::Char('n'), KeyModifiers::CONTROL);
    let rows = seen(&mut state, 80, 12);
    let line = rows.iter().position(|row| row.contains("─ new ─")).unwrap();
    assert!(rows[line - 1].contains("old") && rows[line + 1].contains("new"), "{rows:#?}");
    assert!(rows[2].starts_with("2 dev        │"), "{rows:#?}");
}

#[test]
fn what_we_say_is_shown_at_once_and_marked_until_it_is_kept() {
    let mut state = state();
    let wishes = enter(&mut state, "hello");
    let uid = "mine-1".to_owned();
    let ask = Ask::Say { room: "lobby".into(), text: "hello".into(), uid: Some(uid.clone()), me: false };
    assert_eq!(wishes, [Wish::Ask(ask)]);
    has(&seen(&mut state, 80, 10), "  …   ann: hello");
    hear(&mut state, 6, "lobby", "bob", "before you");
    let mut ours = said(7, "lobby", "ann", "hello");
    ours.at.uid.clone_from(&uid);
    tell(&mut state, Event::Message(ours));
    has(&seen(&mut state, 80, 10), "  …   ann: hello");
    tell(&mut state, Event::Kept { uid, id: 7, room: "lobby".into() });
    let rows = seen(&mut state, 80, 10);
    assert_eq!(rows.iter().filter(|row| row.contains("hello")).count(), 1, "{rows:#?}");
    assert!(rows[6].contains("before you") && rows[7].contains("22:13 ann: hello"), "{rows:#?}");
    _ = enter(&mut state, "spam");
    let refused = Event::Error { error: "you are muted".into(), hint: None, tag: None, uid: Some("mine-2".into()) };
    tell(&mut state, refused);
    let rows = seen(&mut state, 80, 10);
    has(&rows, "  ✗   ann: spam");
    has(&rows, "! you are muted");
}

#[test]
fn changes_are_seen() {
    let mut state = state();
    hear(&mut state, 1, "lobby", "bob", "teh word");
    hear(&mut state, 2, "lobby", "bob", "a secret");
    let at = |id| said(id, "lobby", "bob", "").at;
    tell(&mut state, Event::Edited { at: at(3), of: "u1".into(), text: "the word".into() });
    tell(&mut state, Event::Deleted { at: at(4), of: "u2".into() });
    let rows = seen(&mut state, 80, 10);
    has(&rows, "bob: the word (edited)");
    has(&rows, "bob: (taken back)");
    lacks(&rows, "secret");
}

#[test]
fn our_last_message_is_the_one_that_is_edited() {
    let mut state = state();
    _ = enter(&mut state, "one");
    _ = enter(&mut state, "two");
    hear(&mut state, 9, "lobby", "bob", "three");
    let wishes = enter(&mut state, "/edit 2");
    assert_eq!(wishes, [Wish::Ask(Ask::Edit { room: "lobby".into(), of: "mine-2".into(), text: "2".into() })]);
}

#[test]
fn who_is_writing_is_seen_until_they_have_written() {
    let mut state = state();
    for name in ["bob", "carol"] {
        tell(&mut state, Event::Typing { room: "lobby".into(), name: name.into() });
    }
    has(&seen(&mut state, 80, 10), "bob and carol are writing");
    hear(&mut state, 1, "lobby", "bob", "done");
    has(&seen(&mut state, 80, 10), "carol is writing");
    assert!(state.tick(NOW + 7_000));
    lacks(&seen(&mut state, 80, 10), "writing");
    let wishes = key(&mut state, KeyCode::Char('h'));
    assert_eq!(wishes, [Wish::Ask(Ask::Typing { room: "lobby".into() })]);
    assert_eq!(key(&mut state, KeyCode::Char('i')), [], "and not with each letter");
}

#[test]
fn tab_completes_names_commands_and_rooms() {
    let mut state = state();
    joined(&mut state, "development", &["ann"], None);
    for (typed, tabs, completed) in [
        ("b", 1, "bob: "),
        ("hi c", 1, "hi carol "),
        ("/inv", 1, "/invite "),
        ("/msg c", 1, "/msg carol "),
        ("/join dev", 1, "/join development "),
        ("/op", 1, "/op "),
        ("/op", 2, "/open "),
        ("/op", 3, "/op "),
        ("nobody", 1, "nobody"),
    ] {
        typed.chars().for_each(|c| _ = key(&mut state, KeyCode::Char(c)));
        (0..tabs).for_each(|_| _ = key(&mut state, KeyCode::Tab));
        assert_eq!(state.input.text(), completed);
        _ = press(&mut state, KeyCode::Char('u'), KeyModifiers::CONTROL);
    }
}

#[test]
fn scrolling_up_asks_for_what_was_earlier_and_stays_where_it_is() {
    let mut state = state();
    (101..=150).for_each(|id| hear(&mut state, id, "lobby", "bob", &format!("number {id}")));
    seen(&mut state, 80, 13);
    assert_eq!(key(&mut state, KeyCode::PageUp), []);
    let before = seen(&mut state, 80, 13);
    has(&before, "earlier (Esc: to the end)");
    hear(&mut state, 151, "lobby", "bob", "new one");
    let after = seen(&mut state, 80, 13);
    assert_eq!(before[2..11], after[2..11], "what is read does not move");
    has(&after, "1 new below");
    let mut asked = Vec::new();
    (0..10).for_each(|_| asked.extend(key(&mut state, KeyCode::PageUp)));
    assert_eq!(asked, [Wish::Ask(Ask::History { room: "lobby".into(), before: Some(101), limit: None })], "once");
    let before = seen(&mut state, 80, 13);
    has(&before, "number 101");
    let messages = (51..=100).map(|id| said(id, "lobby", "bob", &format!("number {id}"))).collect();
    tell(&mut state, Event::History { room: "lobby".into(), messages, more: false, tag: Some("earlier lobby".into()) });
    let after = seen(&mut state, 80, 13);
    assert_eq!(before[4..11], after[4..11], "also when there is more above");
    (0..10).for_each(|_| _ = key(&mut state, KeyCode::PageUp));
    has(&seen(&mut state, 80, 13), "number 51");
    assert_eq!(key(&mut state, KeyCode::PageUp), [], "there is no more");
    _ = key(&mut state, KeyCode::Esc);
    has(&seen(&mut state, 80, 13), "new one");
}

#[test]
fn the_mouse_scrolls_and_selects() {
    let mut state = state();
    joined(&mut state, "dev", &["ann"], None);
    (1..=50).for_each(|id| hear(&mut state, id, "dev", "bob", &format!("number {id}")));
    seen(&mut state, 80, 13);
    let mouse = |kind, column, row| Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    _ = state.act(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2), NOW);
    has(&seen(&mut state, 80, 13), "number 50");
    _ = state.act(mouse(MouseEventKind::ScrollUp, 40, 5), NOW);
    lacks(&seen(&mut state, 80, 13), "number 48");
    _ = state.act(mouse(MouseEventKind::ScrollDown, 40, 5), NOW);
    has(&seen(&mut state, 80, 13), "number 50");
    for (column, row) in [(3, 9), (79, 12), (0, 0)] {
        _ = state.act(mouse(MouseEventKind::Down(MouseButton::Left), column, row), NOW);
        assert_eq!(state.current, 1, "nothing is there");
    }
}

#[test]
fn a_lost_connection_is_told_and_nothing_typed_is_lost() {
    let mut state = state();
    state.hear(News::Away { why: "it has gone".into(), again: Duration::from_secs(3) }, NOW);
    has(&seen(&mut state, 80, 10), "no connection, again in 3 s (it has gone)");
    assert!(matches!(&enter(&mut state, "are you there?")[..], [Wish::Ask(Ask::Say { .. })]));
    assert_eq!(enter(&mut state, "/topic no"), []);
    let rows = seen(&mut state, 80, 10);
    has(&rows, "  …   ann: are you there?");
    has(&rows, "! there is no connection now");
    state.hear(News::Here, NOW);
    hear(&mut state, 4, "lobby", "bob", "missed");
    joined(&mut state, "lobby", &["ann"], Some(true));
    let rows = seen(&mut state, 80, 10);
    let place = |text: &str| rows.iter().position(|row| row.contains(text)).unwrap();
    assert!(place("missed") < place("are you there?"), "{rows:#?}");
}

#[test]
fn several_lines_are_pasted_and_not_sent() {
    let mut state = state();
    assert!(matches!(
        &state.act(Input::Paste("one\r\ntwo\rthree\x1b[2J".into()), NOW)[..],
        [Wish::Ask(Ask::Typing { .. })]
    ));
    let rows = seen(&mut state, 80, 12);
    assert_eq!((&*rows[9], &*rows[10], &*rows[11]), ("ann> one", "     two", "     three\u{fffd}[2J"));
    let Some(Wish::Ask(Ask::Say { text, .. })) = key(&mut state, KeyCode::Enter).pop() else { panic!("not said") };
    assert_eq!(text, "one\ntwo\nthree\u{fffd}[2J");
}

#[test]
fn people_come_and_go() {
    let mut state = state();
    let room = || "lobby".to_owned();
    tell(&mut state, Event::Presence { room: room(), name: "dora".into(), is: Presence::Here, count: 4 });
    tell(&mut state, Event::Presence { room: room(), name: "bob".into(), is: Presence::Gone, count: 3 });
    let now = Presence::Now { new: "anna".into() };
    tell(&mut state, Event::Presence { room: room(), name: "ann".into(), is: now, count: 3 });
    let rows = seen(&mut state, 80, 12);
    for text in ["dora came", "bob left", "ann is now anna", "anna> ", "│dora", "│carol"] {
        has(&rows, text.trim_end());
    }
    lacks(&rows, "│bob");
}

#[test]
fn a_line_that_cannot_be_meant_stays_to_be_mended() {
    let mut state = state();
    assert_eq!(enter(&mut state, "/jion dev"), []);
    assert_eq!(state.input.text(), "/jion dev");
    has(&seen(&mut state, 80, 10), "no command is called '/jion'");
    _ = press(&mut state, KeyCode::Char('u'), KeyModifiers::CONTROL);
    assert!(matches!(&enter(&mut state, "/join dev")[..], [Wish::Ask(Ask::Join { room, .. })] if room == "dev"));
    joined(&mut state, "dev", &["ann"], None);
    assert_eq!(state.room().map(|room| &*room.name), Some("dev"), "it is shown once we are in it");
}

#[test]
fn lines_are_all_that_some_servers_know() {
    let mut state = State::new("tcp://host:1".into(), true, false, Clock::utc(), Uids::new(String::new()));
    state.hear(News::Here, NOW);
    state.hear(News::Line("bob: hello".into()), NOW);
    state.hear(News::Line("* carol waves".into()), NOW);
    assert_eq!(enter(&mut state, "/who"), [Wish::Line("/who".into())], "the server knows what it means");
    _ = key(&mut state, KeyCode::Char('b'));
    _ = key(&mut state, KeyCode::Tab);
    assert_eq!(state.input.text(), "bob: ", "who has spoken is known");
    let rows = seen(&mut state, 80, 10);
    for text in ["22:13 bob: hello", "22:13 * carol waves", "22:13 you: /who"] {
        has(&rows, text);
    }
    _ = press(&mut state, KeyCode::Char('u'), KeyModifiers::CONTROL);
    state.hear(News::Ended { why: "it has ended".into() }, NOW);
    assert!(!state.is_over(), "what was said last is to be read");
    _ = enter(&mut state, "byebye");
    assert!(state.is_over());
}
