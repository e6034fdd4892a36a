#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `serve files`: whole folders as tar and zip.

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use common::{Home, noise, peer, run};

/// A folder with everything that a folder may have.
fn folder(home: &Home) -> String {
    let at = home.path("site");
    fs::create_dir_all(format!("{at}/ä b/empty")).unwrap();
    fs::write(format!("{at}/ä b/noise"), noise(300_000)).unwrap();
    fs::write(format!("{at}/ä b/lines.txt"), "line\n".repeat(50_000)).unwrap();
    fs::write(format!("{at}/nothing"), "").unwrap();
    fs::write(format!("{at}/{}", "n".repeat(200)), "a long name").unwrap();
    fs::write(format!("{at}/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(format!("{at}/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(format!("{at}/.hidden"), "hidden").unwrap();
    fs::write(home.path("secret"), "secret").unwrap();
    symlink("ä b/noise", format!("{at}/inside")).unwrap();
    symlink("../secret", format!("{at}/outside")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_801);
    fs::File::open(format!("{at}/run")).unwrap().set_modified(old).unwrap();
    at
}

/// Whether the folder has been unpacked as it was, without what is hidden.
fn is_whole(at: &str, from: &str, links: bool) {
    for name in ["ä b/noise", "ä b/lines.txt", "nothing", &"n".repeat(200), "run"] {
        assert_eq!(fs::read(format!("{at}/{name}")).unwrap(), fs::read(format!("{from}/{name}")).unwrap(), "{name}");
    }
    assert!(Path::new(&format!("{at}/ä b/empty")).is_dir());
    assert!(!Path::new(&format!("{at}/.hidden")).exists());
    if links {
        for link in ["inside", "outside"] {
            assert_eq!(
                fs::read_link(format!("{at}/{link}")).unwrap(),
                fs::read_link(format!("{from}/{link}")).unwrap()
            );
        }
        let (run, was) = (fs::metadata(format!("{at}/run")).unwrap(), fs::metadata(format!("{from}/run")).unwrap());
        assert_eq!((run.permissions().mode(), run.modified().unwrap()), (0o100_755, was.modified().unwrap()));
    }
}

#[test]
fn a_folder_comes_whole_as_tar() {
    let home = Home::new();
    let from = folder(&home);
    let server = home.serve(&["files", &from, "http://:0", "https://:0"], 2);
    let (Some(curl), Some(tar)) = (peer("curl"), peer("tar")) else { return };
    for (at, (form, flag)) in [("tar", ""), ("tar.gz", "z"), ("tar", "")].into_iter().enumerate() {
        let into = home.path(&format!("out{at}"));
        fs::create_dir(&into).unwrap();
        let url = format!("{}/?{form}", server.at[at.min(1)].trim_end_matches('/'));
        let archive = run(home.command(curl).args(["-sSfk", &url]), "").good();
        run(home.command(tar).args([&format!("-x{flag}pC"), &into]), archive).good();
        is_whole(&format!("{into}/site"), &from, true);
    }
}

#[test]
fn a_folder_comes_whole_as_zip() {
    const UNZIP: &str = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2]); \
        print([(i.external_attr >> 16, z.read(i).decode()) for i in z.infolist() if i.filename.endswith('outside')])";
    let home = Home::new();
    let from = folder(&home);
    let server = home.serve(&["files", &from, "http://:0"], 1);
    let (Some(curl), Some(python)) = (peer("curl"), peer("python3")) else { return };
    let url = format!("{}/?zip", server.at[0].trim_end_matches('/'));
    run(home.command(curl).args(["-sSfOJ", &url]), "").good();
    // Its name is that of the folder.
    let zip = home.path("site.zip");
    let said = run(home.command(python).args(["-c", UNZIP, &zip, &home.path("out")]), "").text();
    is_whole(&home.path("out/site"), &from, false);
    assert!(said.contains("41471, '../secret'"), "a link is a link: {said}");
}

#[test]
fn what_breaks_does_not_look_whole() {
    let home = Home::new();
    let from = folder(&home);
    let mut deep = format!("{from}/deep");
    for _ in 0..140 {
        deep += "/d";
    }
    fs::create_dir_all(deep).unwrap();
    let server = home.serve(&["files", &from, "http://:0", "--hidden"], 1);
    let Some(curl) = peer("curl") else { return };
    for form in ["tar", "tar.gz", "zip"] {
        let url = format!("{}/?{form}", server.at[0].trim_end_matches('/'));
        let ended = run(home.command(curl).args(["-sS", &url]), "");
        assert_ne!(ended.code, 0, "{form}: {}", ended.err);
    }
    server.program.told("it lies too deep");
    // Who asks what it would be does not have it packed.
    let url = format!("{}/?tar", server.at[0].trim_end_matches('/'));
    let head = run(home.command(curl).args(["-sSfI", &url]), "").text();
    assert!(head.contains("application/x-tar") && head.contains("filename*=UTF-8''site.tar"), "{head}");
}
