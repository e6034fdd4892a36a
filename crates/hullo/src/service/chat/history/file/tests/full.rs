//! A full disk takes nothing, says so, and takes all again when there is room.

use std::process::Command;

use super::*;

/// A file system with little room, which goes with this.
struct Disk(Home);

impl Disk {
    /// One, where we may mount anything.
    fn new() -> Option<Self> {
        let home = Home::new();
        let path = home.0.display().to_string();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs", &path]).output();
        mounted.is_ok_and(|mount| mount.status.success()).then_some(Self(home))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0.0).output();
    }
}

#[tokio::test]
async fn a_full_disk_loses_what_it_says_and_nothing_else() {
    let Some(disk) = Disk::new() else { return };
    let file = disk.0.file();
    let history = History::open(&file, ALL).unwrap().history;
    let (text, filler) = ("x y z ".repeat(600), disk.0.0.join("filler"));
    let (mut kept, mut lost) = (Vec::new(), 0);
    let mut id = 0;
    for round in 0..3 {
        // Room for some, but not for all.
        while lost < 5 * (round + 1) {
            id += 1;
            match history.keep(plain(entry(id, "lobby", say(&text)))).await {
                Ok(()) => kept.push(id),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::File);
                    assert!(error.to_string().starts_with("cannot keep what is said: "), "{error}");
                    lost += 1;
                }
            }
            if id == 1 {
                fs::write(&filler, vec![0; 1 << 20]).unwrap();
            }
        }
        assert_eq!(history.written(), id, "what is lost is not waited for");
        assert_eq!(history.ids("lobby").await, kept);
        if round == 0 {
            fs::remove_file(&filler).unwrap();
        } else {
            let path = disk.0.0.display().to_string();
            let size = format!("remount,size={}m", 4 << (round + 1));
            assert!(Command::new("mount").args(["-o", &size, &path]).status().unwrap().success());
        }
        id += 1;
        history.keep(plain(entry(id, "lobby", say("there is room")))).await.unwrap();
        kept.push(id);
    }
    assert!(kept.len() > 100, "{}", kept.len());
    drop(history);
    let Opened { history, next, .. } = History::open(&file, ALL).unwrap();
    assert_eq!((next, history.ids("lobby").await), (id + 1, kept));
}

#[tokio::test]
async fn ids_are_not_given_beyond_those_that_are_reserved() {
    let history = History::open(":memory:", ALL).unwrap().history;
    // When it has answered the second, it has nothing to do after the first.
    for name in ["ann", "eve"] {
        history.register(name, name, "hash").await.unwrap();
    }
    let reserved = history.ids.reserved();
    let last = reserved - QUEUE as u64;
    history.ids.append(last - 1);
    assert!(history.try_place().is_some() && history.place().await.is_ok());
    history.ids.append(last);
    assert!(history.try_place().is_none());
    assert!(history.place().await.err().unwrap().advice().unwrap().contains("disk"));
    // The writer reserves more of them as soon as it can.
    history.register("bob", "bob", "hash").await.unwrap();
    assert!(history.try_place().is_some() && history.ids.reserved() > reserved);
}
