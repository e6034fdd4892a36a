//! Side by side with C references and peers, by a harness of its own (a folder with `setup.sh`, `bench.py` and `idle.py`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    run::{Outcome, Words, failed, release, root, step, target},
    transfer,
};

/// A comparison: the harness's group, its reference and peers, and how our server is started for it.
struct Group {
    name: &'static str,
    beside: &'static str,
    words: &'static str,
}

const GROUPS: &[Group] = &[
    Group {
        name: "a",
        beside: "c-epoll,py-asyncio,py-uvloop-proto,socat-fork,ncat-cat",
        words: "serve echo tcp://127.0.0.1:{p}",
    },
    Group {
        name: "b",
        beside: "direct,haproxy-splice,nginx-stream,socat",
        words: "relay tcp://127.0.0.1:{p} tcp://127.0.0.1:{d}",
    },
    Group {
        name: "b-lat",
        beside: "direct,haproxy-splice,nginx-stream,socat",
        words: "relay tcp://127.0.0.1:{p} tcp://127.0.0.1:{d}",
    },
    Group { name: "c", beside: "c-one,c-mmsg,c-gso,python,socat", words: "serve echo udp://127.0.0.1:{p}" },
    Group { name: "d", beside: "c-epoll,nginx,haproxy,caddy,python", words: "serve greet http://127.0.0.1:{p}" },
    Group {
        name: "e",
        beside: "nginx,haproxy,stunnel,hitch,socat",
        words: "relay 'tls://127.0.0.1:{p}?cert={CONF}/ec.crt&key={CONF}/ec.key' tcp://127.0.0.1:{d}",
    },
];

/// What holds idle connections, as rows of the harness's table; `{hullo}` is our binary.
const IDLE: &str = r#""hullo tcp": ("{hullo} serve echo tcp://127.0.0.1:{p}", "x"), "hullo ws": ("{hullo} serve echo ws://127.0.0.1:{p}", WS), "hullo http": ("{hullo} serve greet http://127.0.0.1:{p}", GET), "hullo chat": ("{hullo} serve chat tcp://127.0.0.1:{p} --db none", None),"#;

/// The reference of the chats, and our row beside it. Nothing is held back, and all of it is kept.
const FAN: &str = r#"("{C}chat_epoll {p}", line),"#;
const ROW: &str = r#""hullo": ("{hullo} serve chat tcp://127.0.0.1:{p} --flood off --db out/chat-{p}.db", line),"#;

/// Where that table begins.
const TABLE: &str = "\nT = {";

/// How many idle connections.
const MANY: &str = "8000";

pub(crate) fn run(words: &mut Words) -> Outcome {
    let (binary, rounds) = (words.option("--bin")?, words.option("--rounds")?.unwrap_or_else(|| "5".to_owned()));
    let only = words.option("--only")?;
    let from = words.option("--with")?.map_or_else(|| root().join("../shared/perf"), PathBuf::from);
    let folder = words.option("--dir")?.map_or_else(|| target().join("perf"), PathBuf::from);
    words.end()?;
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    if wanted("transfer") {
        let rounds = rounds.parse().map_err(|_| failed(format!("--rounds {rounds} is no number")))?;
        transfer::run(&release(binary.clone())?, rounds)?;
        if only.as_deref() == Some("transfer") {
            return Ok(());
        }
    }
    if !from.join("setup.sh").is_file() {
        eprintln!("skipped: there is no harness in {}; cargo xtask perf --with DIR names its folder", from.display());
        return Ok(());
    }
    let hullo = release(binary)?;
    if !folder.join("c/lg").exists() {
        step(Command::new("bash").arg(from.join("setup.sh")).arg(&folder))?;
    }
    for group in GROUPS.iter().filter(|group| wanted(group.name)) {
        let ours = format!("hullo={} {}", hullo.display(), group.words);
        let mut bench = Command::new("./bench.py");
        bench.args([group.name, "-r", &rounds, "-s", "1", "-o", group.beside, "-x", &ours]);
        step(bench.current_dir(&folder))?;
    }
    if wanted("g") {
        fan_out(&folder, &hullo, &rounds)?;
    }
    if wanted("idle") { idle(&folder, &hullo) } else { Ok(()) }
}

/// One message to a thousand members. What the generator says to a server is up to the harness's own table, and so a copy
/// of it gets our row.
fn fan_out(folder: &Path, hullo: &Path, rounds: &str) -> Outcome {
    let (bench, groups) = (read(&folder.join("bench.py"))?, read(&folder.join("groups.py"))?);
    let Some(at) = groups.find(FAN) else { return Err(failed("groups.py has no group of chats any more")) };
    // The row stands behind the reference.
    let (before, after) = groups.split_at(at + FAN.len());
    let row = ROW.replace("{hullo}", &hullo.display().to_string());
    write(&folder.join("groups_hullo.py"), &format!("{before} {row}{after}"))?;
    write(&folder.join("bench-hullo.py"), &bench.replace("import groups", "import groups_hullo as groups"))?;
    let mut bench = Command::new("python3");
    bench.args(["bench-hullo.py", "g", "-r", rounds, "-s", "1", "-o", "c-epoll,hullo,redis,nats"]);
    step(bench.current_dir(folder))
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| failed(format!("{}: {error}", path.display())))
}

/// Memory per idle connection. The harness's own table has no place for us: a copy of it gets one.
fn idle(folder: &Path, hullo: &Path) -> Outcome {
    let text = read(&folder.join("idle.py"))?;
    let Some(at) = text.find(TABLE) else { return Err(failed("idle.py has no table of servers any more")) };
    let (before, after) = text.split_at(at + TABLE.len());
    let rows = IDLE.replace("{hullo}", &hullo.display().to_string());
    let ours = folder.join("idle-hullo.py");
    write(&ours, &format!("{before} {rows}{after}"))?;
    step(Command::new("python3").arg(ours).args([MANY, "hullo,c-epoll,haproxy,nginx"]).current_dir(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rows_leave_the_harness_its_own_words() {
        let rows = IDLE.replace("{hullo}", "/x/hullo");
        assert!(rows.contains(r#"("/x/hullo serve echo tcp://127.0.0.1:{p}", "x")"#), "{rows}");
    }
}
