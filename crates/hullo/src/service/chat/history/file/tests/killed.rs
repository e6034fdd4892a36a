//! What was said to be kept is there after a kill, and no id is given twice.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write as _},
    process::{Command, Stdio},
};

use super::*;

const KILLS: usize = 20;

/// The file in which the child appends.
const FILE: &str = "HULLO_TEST_HISTORY";

/// A server that has nothing but messages: it says the ids that it gives, and those that are kept. It is the test of that
/// name in a process of its own.
#[tokio::test]
#[ignore = "the other test runs it, and kills it"]
async fn the_one_that_is_killed() {
    let Ok(file) = std::env::var(FILE) else { return };
    let Opened { history, next, .. } = History::open(&file, ALL).unwrap();
    for id in next.. {
        let place = history.place().await.unwrap();
        print(&format!("gives {id}"));
        let kept: Durable = Box::new(move |kept| {
            kept.unwrap();
            print(&format!("kept {id}"));
        });
        // An edit takes more than one step, which a kill must not part.
        let what = if id % 5 == 4 { edit(id - 1, &format!("edited {id}")) } else { say(&format!("message {id}")) };
        history.append(place, Write { kept: Some(kept), ..plain(entry(id, "lobby", what)) });
        tokio::task::yield_now().await;
    }
}

fn print(line: &str) {
    // Whoever reads may have gone, and we shall go too.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_kill() {
    let home = Home::new();
    let test = "service::chat::history::file::tests::killed::the_one_that_is_killed";
    let (mut given, mut all) = (HashSet::new(), Vec::new());
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(FILE, home.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Now it is killed when much was kept, and now as soon as anything is.
        let (mut kept, until) = (Vec::new(), 1 + kill * kill * 7);
        for line in lines {
            let line = line.unwrap();
            match line.split_once(' ') {
                Some(("gives", id)) => {
                    let id: u64 = id.parse().unwrap();
                    assert!(given.insert(id), "{id} is given once more after kill {kill}");
                }
                Some(("kept", id)) => kept.push(id.parse::<u64>().unwrap()),
                _ => {}
            }
            if kept.len() == until {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(kept.len() >= until, "it ends before it is killed the time {kill}");
        let Opened { history, next, .. } = History::open(&home.file(), ALL).unwrap();
        assert!(given.iter().all(|id| *id < next), "{next} is new");
        let there: HashMap<u64, What> = history
            .after("lobby", 0, usize::MAX)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.id, entry.what))
            .collect();
        all.extend(kept);
        for id in &all {
            assert!(there.contains_key(id), "{id} was kept, and is not there after kill {kill}");
            let of = there.get(&(id - 1)).filter(|_| id % 5 == 4);
            assert!(
                of.is_none_or(|of| matches!(of, What::Say { text, .. } if *text == format!("edited {id}"))),
                "{of:?}"
            );
        }
        // One that no edit has changed.
        let newest = all.iter().rfind(|id| *id % 5 < 3).unwrap();
        assert_eq!(history.search("lobby", &newest.to_string(), None, 9).await.unwrap().len(), 1);
    }
}
