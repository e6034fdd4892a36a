//! Who may read and who may write, and what is told to whoever starts the server.

use crate::{
    Folder,
    common::{Home, Program, Server, peer, run},
};

#[test]
fn accounts_are_for_what_they_are_for() {
    for (words, free, reader, writer) in [
        (&["--auth", "ada:a:b"][..], (401, 401), (200, 201), (401, 401)),
        (&["--auth-upload", "bob:c"], (200, 401), (200, 401), (200, 201)),
        (&["--auth", "ada:a:b", "--auth-upload", "bob:c"], (401, 401), (200, 403), (200, 201)),
    ] {
        let Some(folder) = Folder::served(&[&["--upload"], words].concat()) else { return };
        let file = folder.home.file("file", "x");
        for (user, (read, write)) in [(&[][..], free), (&["-u", "ada:a:b"], reader), (&["-u", "bob:c"], writer)] {
            assert_eq!(folder.curl("/", user).0, read, "{words:?} {user:?}");
            assert_eq!(folder.curl("/?json&q=x", user).0, read, "{words:?} {user:?}");
            let (status, said) =
                folder.curl(&format!("/{}", user.len() + usize::from(write)), &[user, &["-T", &file]].concat());
            assert_eq!(status, write, "{words:?} {user:?}: {said}");
            assert_eq!(
                folder.curl("/new?upload", &[user, &["-I"]].concat()).0 == 404,
                write == 201,
                "{words:?} {user:?}"
            );
        }
        let asks = folder.header("/", &["-T", &file], "www-authenticate").unwrap();
        assert!(asks.starts_with("Basic realm="), "{asks}");
        folder.server.program.told("can be read by everybody on this machine");
    }
}

#[test]
fn a_password_may_be_its_hash_in_a_file_or_in_the_environment() {
    if peer("curl").is_none() {
        return;
    }
    let Some(argon2) = peer("argon2") else { return };
    let home = Home::new();
    let hash = |password: &str| {
        run(home.command(argon2).args(["saltsaltsalt", "-id", "-t", "1", "-m", "8", "-e"]), password).text()
    };
    let (ada, bob) = (hash("ümlaut"), hash("b"));
    home.file("accounts", format!("# who\nada:{ada}\n"));
    std::fs::create_dir(home.path("shared")).unwrap();
    let words = ["serve", "files", "shared", "http://127.0.0.1:0", "--auth", "@accounts"];
    let server = Server::start(home.hullo(&words).env("HULLO_AUTH", format!("bob:{bob}\n")), 1);
    let folder = Folder { home, server };
    for (user, status) in
        [("ada:ümlaut", 200), ("bob:b", 200), ("ada:b", 401), ("bob:", 401), ("eve:b", 401), ("ada:ümlaut", 200)]
    {
        assert_eq!(folder.curl("/", &["-u", user]).0, status, "{user}");
    }
    assert!(!folder.server.program.so_far().contains("note:"), "{}", folder.server.program.so_far());
    // Who guesses on waits, and who knows does not.
    let statuses: Vec<_> = (0..6).map(|_| folder.curl("/", &["-u", "ada:guess"]).0).collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(folder.curl("/", &["-u", "ada:ümlaut"]).0, 200);
}

#[test]
fn a_mistake_never_lets_everybody_in() {
    let home = Home::new();
    let empty = home.file("empty", "# nobody\n");
    let refused = |words: &[&str], variable: Option<&str>, wanted: &str| {
        let mut command = home.hullo(&[&["serve", "files", "http://127.0.0.1:0"], words].concat());
        let ended = run(command.envs(variable.map(|value| ("HULLO_AUTH", value))), "");
        assert!(ended.code == 2 || ended.code == 19, "{words:?}: {} {}", ended.code, ended.err);
        assert!(ended.err.contains(wanted), "{words:?}: {}", ended.err);
        assert!(!ended.err.contains("sesame"), "no password is shown: {}", ended.err);
    };
    refused(&["--auth", &format!("@{empty}")], None, "no account in");
    refused(&["--auth", "@absent"], None, "cannot read the accounts of absent");
    refused(&[], Some(""), "no account in HULLO_AUTH");
    refused(&["--auth", "sesame"], None, "an account is written name:password");
    refused(&["--auth", "ada:$2y$10$sesame"], None, "neither plain nor a hash of argon2");
    refused(&["--auth-upload", "ada:sesame"], None, "--upload");
    refused(&["--overwrite"], None, "--upload");
    refused(&["--read-only", "--upload"], None, "cannot be used with");
    let ended = home.run(&["serve", "echo", "tcp://127.0.0.1:0", "--auth", "ada:sesame"], "");
    assert!(ended.code == 2 && ended.err.contains("no use for --auth"), "{}", ended.err);
}

#[test]
fn others_are_shown_the_way_on_a_terminal_alone() {
    let home = Home::new();
    // An address of this machine by which others would reach it: it is not loopback's first.
    let words = [
        "files",
        "http://0.0.0.0:0",
        "--auth",
        "ada:$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AtH6SauySk/FajYo0hftM8GAAFCSVky0hBueQHZzFao",
    ];
    let server = home.serve(&words, 1);
    server.program.told("the folder is");
    let ended = server.interrupted();
    assert!(!ended.err.contains(['█', '▀']), "{}", ended.err);
    if !ended.err.contains("reached at http://") {
        // A machine without a network has no way to show.
        return;
    }
    assert!(ended.err.contains("https:// encrypts them"), "{}", ended.err);
    let Some(script) = peer("script") else { return };
    let on_terminal = |more: &str| {
        let line = format!("{} serve files http://0.0.0.0:0 http://0.0.0.0:0 {more}", env!("CARGO_BIN_EXE_hullo"));
        let program = Program::start(home.command(script).args(["-qec", &line, "/dev/null"]).env("TERM", "xterm"));
        program.heard("listening");
        // The second address is told when the code, which belongs to the first, is there or not.
        let until = std::time::Instant::now() + crate::PATIENCE;
        while program.so_far().matches("the folder is").count() < 2 {
            assert!(std::time::Instant::now() < until, "{}", program.so_far());
            std::thread::yield_now();
        }
        program.so_far()
    };
    let shown = on_terminal("");
    assert!(shown.contains("\x1b[97;40m█") && shown.contains('▀'), "{shown}");
    let codes = shown.split("listening on").filter(|part| part.contains('█')).count();
    assert_eq!(codes, 1, "there is one code: {shown}");
    let first = shown.split("reached at ").nth(1).unwrap().split_whitespace().next().unwrap();
    if let Some(zbarimg) = peer("zbarimg") {
        let picture = home.file("code.pgm", picture(&shown));
        let read = run(home.command(zbarimg).args(["-q", "--raw", &picture]), "").text();
        assert_eq!(read.trim(), first, "as a camera reads it");
    }
    assert!(!on_terminal("--no-qr").contains(['█', '▀']));
    assert!(!on_terminal("--json").contains(['█', '▀']));
}

/// The code in what a terminal shows, as a picture of four dots for each of its own.
fn picture(shown: &str) -> Vec<u8> {
    let plain = shown.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
    let lines = plain.lines().map(str::trim_end).filter(|line| line.starts_with(['█', '▀']));
    let mut rows = Vec::new();
    for line in lines {
        let dots =
            |light: [char; 2]| line.chars().map(|c| if light.contains(&c) { 255 } else { 0 }).collect::<Vec<u8>>();
        rows.extend([dots(['█', '▀']), dots(['█', '▄'])]);
    }
    let (width, height) = (rows[0].len() * 4, rows.len() * 4);
    let mut picture = format!("P5 {width} {height} 255\n").into_bytes();
    for row in rows {
        let wide: Vec<u8> = row.iter().flat_map(|dot| [*dot; 4]).collect();
        picture.extend(wide.repeat(4));
    }
    picture
}
