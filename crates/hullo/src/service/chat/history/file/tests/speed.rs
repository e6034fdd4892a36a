//! How fast it appends.
#![allow(clippy::print_stdout, reason = "a figure is what it is run for")]

use std::{fs, time::Instant};

use super::*;

/// Says how fast messages are appended to one room: `HULLO_COUNT` of them, of 64 bytes, in a file that keeps
/// `HULLO_KEEP`.
#[tokio::test]
#[ignore = "it measures"]
async fn how_fast_it_appends() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, keep) = (number("HULLO_COUNT", 200_000), number("HULLO_KEEP", 1_000_000));
    let ordered = number("HULLO_ORDERED", 1) == 1;
    let home = Home::new();
    let Opened { history, next, .. } = History::open(&home.file(), Keep { count: keep, age: None }).unwrap();
    let words = "the quick brown fox jumps over a lazy dog while it rains in town and nobody knows why".split(' ');
    let words: Vec<_> = words.collect();
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut begun, mut since) = (Instant::now(), 0);
    for at in 0..count {
        let mut text = format!("{:x}", random() % 50_000);
        while text.len() < 60 {
            text.push(' ');
            text.push_str(words[usize::try_from(random() % words.len() as u64).unwrap()]);
        }
        text.truncate(64);
        let mut entry = entry(next + at, "lobby", say(&text));
        let first = if ordered { at } else { random() };
        entry.uid = format!("{first:016x}{:08x}", random() as u32).into();
        history.append(history.place().await.unwrap(), plain(entry));
        since += 1;
        if since == 100_000 {
            println!("{} in all: {:.0} a second", at + 1, f64::from(since) / begun.elapsed().as_secs_f64());
            (begun, since) = (Instant::now(), 0);
        }
    }
    let last = next + count - 1;
    while history.written() < last {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "{} files",
        fs::read_dir(&home.0)
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                format!("{:?} {}", file.file_name(), file.metadata().unwrap().len())
            })
            .collect::<Vec<_>>()
            .join(", ")
    );
    let begun = Instant::now();
    let found = history.search("lobby", "quick fox", None, 50).await.unwrap();
    println!("search: {} in {:?}", found.len(), begun.elapsed());
}

/// Says how fast messages of a long history are changed.
#[tokio::test]
#[ignore = "it measures"]
async fn how_fast_it_edits() {
    const COUNT: u64 = 5_000;
    let home = Home::new();
    let history = History::open(&home.file(), ALL).unwrap().history;
    for part in 0..=10 {
        let begun = Instant::now();
        for at in 1..=COUNT {
            let text = format!("the quick brown fox jumps over the lazy dog {}", at * 7919 % 50_000);
            let what = if part < 10 { say(&text) } else { edit(at * 9, &text) };
            history.append(history.place().await.unwrap(), plain(entry(part * COUNT + at, "lobby", what)));
        }
        while history.written() < (part + 1) * COUNT {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("{:.0} a second", COUNT as f64 / begun.elapsed().as_secs_f64());
    }
}
