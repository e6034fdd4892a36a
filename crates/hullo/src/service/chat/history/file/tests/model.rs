//! Whatever is said, changed and taken back, what is read is what a list in memory has.

use proptest::prelude::*;

use super::*;

const ROOMS: [&str; 2] = ["lobby", "dev"];

#[derive(Clone, Debug)]
enum Step {
    Say(usize, String),
    Edit(usize, String),
    Delete(usize),
    Again(usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few words, so that searches find some.
    let text = || proptest::collection::vec(prop_oneof!["[a-c]{1,2}", Just("ä-b".to_owned())], 1..4);
    let text = move || text().prop_map(|words| words.join(" "));
    let step = prop_oneof![
        6 => (0..2_usize, text()).prop_map(|(room, text)| Step::Say(room, text)),
        3 => (0..40_usize, text()).prop_map(|(of, text)| Step::Edit(of, text)),
        2 => (0..40_usize).prop_map(Step::Delete),
        1 => (0..40_usize).prop_map(Step::Again),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The log as a list: every entry as it reads now.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn append(&mut self, entry: Entry) {
        match &entry.what {
            What::Edit { of, text } => {
                let Some(message) = self.message(&entry.room, of) else { return self.0.push(entry) };
                let What::Say { text: old, edited, deleted, .. } = &mut message.what else { panic!("{message:?}") };
                let is_deleted = *deleted;
                if !is_deleted {
                    (*old, *edited) = (text.clone(), Some(entry.time));
                }
                self.forget_edits(of);
                if !is_deleted {
                    self.0.push(entry);
                }
            }
            What::Delete { of } => {
                if let Some(message) = self.message(&entry.room, of)
                    && let What::Say { text, deleted, .. } = &mut message.what
                {
                    (*text, *deleted) = (String::new(), true);
                }
                self.forget_edits(of);
                self.0.push(entry);
            }
            _ => self.0.push(entry),
        }
    }

    fn message(&mut self, room: &str, uid: &str) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| *entry.room == *room && *entry.uid == *uid && entry.said().is_some())
    }

    fn forget_edits(&mut self, uid: &str) {
        self.0.retain(|entry| !matches!(&entry.what, What::Edit { of, .. } if of == uid));
    }

    fn after(&self, room: &str, after: u64, limit: usize) -> Vec<Entry> {
        self.0.iter().filter(|entry| *entry.room == *room && entry.id > after).take(limit).cloned().collect()
    }

    fn before(&self, room: &str, before: u64, limit: usize, good: impl Fn(&str) -> bool) -> Vec<Entry> {
        let said = |entry: &&Entry| entry.said().is_some_and(|said| good(&said.text));
        let all = self.0.iter().rev().filter(|entry| *entry.room == *room && entry.id < before);
        let mut found: Vec<_> = all.filter(said).take(limit).cloned().collect();
        found.reverse();
        found
    }
}

/// The words of a text as the index cuts them.
fn words(text: &str) -> Vec<String> {
    text.replace('ä', "a").split([' ', '-']).map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_a_list_would_have(steps in steps(), at in 0..50_u64, limit in 1..20_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, at, limit));
    }
}

async fn run(steps: Vec<Step>, at: u64, limit: usize) {
    let home = Home::new();
    let (mut model, mut opened) = (Model::default(), History::open(&home.file(), ALL).unwrap());
    let mut next = opened.next;
    let mut given: Vec<Entry> = Vec::new();
    for step in steps {
        let of = |at: usize| given.get(at % given.len().max(1));
        let place = |what| of(what).map_or((1, "lobby".into()), |entry| (entry.id, entry.room.clone()));
        let new = match step {
            Step::Say(room, text) => entry(next, ROOMS[room], say(&text)),
            Step::Edit(which, text) => entry(next, &place(which).1, edit(place(which).0, &text)),
            Step::Delete(which) => entry(next, &place(which).1, delete(place(which).0)),
            Step::Again(which) => {
                let Some(known) = of(which) else { continue };
                let again = Entry { id: next, ..known.clone() };
                next += 1;
                opened.history.append(opened.history.place().await.unwrap(), plain(again));
                continue;
            }
            Step::Reopen => {
                drop(opened);
                opened = History::open(&home.file(), ALL).unwrap();
                assert_eq!(opened.next, next);
                continue;
            }
        };
        next += 1;
        opened.history.append(opened.history.place().await.unwrap(), plain(new.clone()));
        model.append(new.clone());
        given.push(new);
    }
    while opened.history.written() + 1 < next {
        tokio::task::yield_now().await;
    }
    let history = opened.history;
    for room in ROOMS {
        assert_eq!(history.after(room, 0, 1000).await.unwrap(), model.after(room, 0, 1000));
        assert_eq!(history.after(room, at, limit).await.unwrap(), model.after(room, at, limit));
        assert_eq!(history.before(room, None, 1000).await.unwrap(), model.before(room, 1000, 1000, |_| true));
        assert_eq!(history.before(room, Some(at), limit).await.unwrap(), model.before(room, at, limit, |_| true));
        for wanted in ["a", "bc", "c*", "a b", "b a*"] {
            let good = |text: &str| {
                wanted.split(' ').all(|word| match word.strip_suffix('*') {
                    Some(begin) => words(text).iter().any(|word| word.starts_with(begin)),
                    None => words(text).iter().any(|one| one == word),
                })
            };
            let found = history.search(room, wanted, Some(at), limit).await.unwrap();
            assert_eq!(found, model.before(room, at, limit, good), "{wanted}");
        }
    }
}
