#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Datagrams under load: what is lost, comes twice or out of order, here and at the other end, and whose fault it is.

mod common;

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use common::{Folder, in_time, service, serving, serving_in, watched};
use hullo::{
    Address, Event, Kind, Limits, Scope, Server, Service,
    bench::{self, Ask, Direction, Expect, Packets, Payload, Plan, Report, Shape},
};
use tokio::{net::UdpSocket as Socket, runtime::Builder};

static ROOM: AtomicU64 = AtomicU64::new(0);

/// A server on a simulated link under those conditions, as in `loss=0.1`.
async fn simulated(name: &str, conditions: &str) -> Server {
    let room = ROOM.fetch_add(1, Relaxed);
    serving(&format!("memory://datagrams-{room}?packets=true&{conditions}"), service(name)).await
}

/// A load on it, in the test's own runtime, whose clock it has. The way is as its listener says.
fn to(server: &Server) -> Plan {
    let address = format!("memory://{}?packets=true", server.address().host);
    Plan { threads: 0, connections: 4, ..Plan::to(address.parse().unwrap()) }
}

fn up(plan: Plan) -> Plan {
    Plan { shape: Shape::Bulk(Direction::Up), ..plan }
}

/// A seed from which a link does not begin by losing what is sent first: each new one draws the same.
const MIXED: u64 = 0xBF58_476D_1CE4_E5B9;

fn at_rate(rate: &str, millis: u64, plan: Plan) -> Plan {
    Plan { rate: Some(rate.parse().unwrap()), duration: Some(Duration::from_millis(millis)), ..plan }
}

async fn run(plan: Plan) -> Report {
    let report = in_time("a load", bench::run(plan, &Scope::default(), |_| ())).await.unwrap();
    assert_eq!(report.offered, report.answered + report.failed + report.unanswered, "nothing is lost from sight");
    assert!(report.sent <= report.offered, "{report:?}");
    report
}

fn packets(report: &Report) -> &Packets {
    report.packets.as_ref().unwrap_or_else(|| panic!("no packets in {report:?}"))
}

// On a simulated link, on a clock that waits for nobody.

#[tokio::test(start_paused = true)]
async fn on_a_good_way_everything_comes_back_once_and_in_order() {
    let server = simulated("echo", "delay=20ms").await;
    let report = run(at_rate("1000", 2000, to(&server))).await;
    assert_eq!((report.offered, report.sent, report.answered), (2000, 2000, 2000), "{report:?}");
    assert_eq!(*packets(&report), Packets { measured: "here".to_owned(), ..Packets::default() });
    let latency = &report.latency_ms;
    assert!((39.0..43.0).contains(&latency.p50.unwrap()) && latency.max.unwrap() < 45.0, "there and back: {latency:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_way_does_to_datagrams_is_told_apart() {
    let server = simulated("echo", "loss=0.1").await;
    let report = run(at_rate("1000", 4000, to(&server))).await;
    let lost = packets(&report).lost;
    // One in ten there, and one in ten of the rest back.
    assert!((600..920).contains(&lost) && lost == report.unanswered, "{report:?}");
    assert_eq!((packets(&report).duplicates, packets(&report).reordered, packets(&report).kernel_drops), (0, 0, 0));

    let server = simulated("echo", "duplicate=0.1&delay=1ms").await;
    let report = run(at_rate("1000", 4000, to(&server))).await;
    assert_eq!((report.answered, packets(&report).lost, packets(&report).reordered), (4000, 0, 0), "{report:?}");
    assert!((650..1000).contains(&packets(&report).duplicates), "{report:?}");

    let server = simulated("echo", "jitter=20ms").await;
    let report = run(at_rate("1000", 4000, to(&server))).await;
    assert_eq!((report.answered, packets(&report).lost, packets(&report).duplicates), (4000, 0, 0), "{report:?}");
    assert!((1500..3500).contains(&packets(&report).reordered), "{report:?}");
    // Two ways of up to 20 ms each: they differ by some 9 ms in the mean.
    assert!((6.0..12.0).contains(&packets(&report).jitter_ms), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_other_end_measures_one_way() {
    let server = simulated("discard", "loss=0.1&seed=5").await;
    let report = run(up(at_rate("1000", 4000, to(&server)))).await;
    let there = packets(&report);
    assert_eq!(there.measured, "there");
    assert!((300..500).contains(&there.lost), "one in ten: {report:?}");
    assert_eq!((report.answered, report.unanswered), (4000 - there.lost, there.lost), "{report:?}");

    let server = simulated("discard", "jitter=20ms&duplicate=0.1").await;
    let report = run(up(at_rate("1000", 4000, to(&server)))).await;
    let there = packets(&report);
    assert_eq!((report.answered, there.lost), (4000, 0), "{report:?}");
    assert!((300..500).contains(&there.duplicates), "{report:?}");
    assert!((4.0..9.0).contains(&there.jitter_ms), "one way, and so less than there and back: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_is_in_no_figure() {
    for name in ["echo", "discard"] {
        let server = simulated(name, "loss=0.5").await;
        let plan = Plan { warm_up: Duration::from_secs(1), ..at_rate("1000", 1000, to(&server)) };
        let report = run(if name == "echo" { plan } else { up(plan) }).await;
        assert_eq!((report.offered, report.sent), (1000, 1000), "{name}: {report:?}");
        assert_eq!(packets(&report).lost, report.unanswered, "{name}");
        assert!((350..900).contains(&packets(&report).lost), "{name}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_gives_its_place_to_the_next() {
    let server = simulated("echo", "loss=0.1&delay=1ms").await;
    let plan =
        Plan { depth: 8, timeout: Duration::from_millis(50), duration: Some(Duration::from_secs(5)), ..to(&server) };
    let report = run(plan).await;
    // Without a timeout the 32 places would be lost after some 64 questions.
    assert!(report.answered > 1000 && report.unanswered > 500, "{report:?}");
    assert!(
        report.latency_ms.p50.unwrap() < 4.0 && report.latency_ms.max.unwrap() > 45.0,
        "they have waited: {:?}",
        report.latency_ms
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_timeout_is_late_and_not_lost() {
    let timeout = Duration::from_millis(50);
    for (conditions, in_time, lost) in
        [("delay=60ms", 0..1, 0..1), ("delay=60ms&loss=0.1", 0..1, 250..510), ("jitter=40ms", 600..1800, 0..1)]
    {
        let server = simulated("echo", conditions).await;
        let report = run(Plan { timeout, ..at_rate("1000", 2000, to(&server)) }).await;
        let seen = packets(&report);
        assert!(in_time.contains(&report.answered) && lost.contains(&seen.lost), "{conditions}: {report:?}");
        assert_eq!((report.offered, report.sent, report.failed), (2000, 2000, 0), "{conditions}: {report:?}");
        assert_eq!(seen.lost + seen.late, report.unanswered, "{conditions}: {report:?}");
        let longest = report.latency_ms.max.unwrap_or(f64::INFINITY);
        assert!(longest < 65.0, "late ones have waited for the timeout: {report:?}");
        assert!((report.seconds - 2.0).abs() < 0.06, "waiting for them takes none of its time: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_end_is_late_and_not_lost() {
    for (name, expected) in [("delay=100ms", 90..120), ("delay=100ms&loss=0.5", 15..45)] {
        let server = simulated("echo", name).await;
        let report = run(at_rate("1000", 1000, Plan { timeout: Duration::from_secs(1), ..to(&server) })).await;
        let seen = packets(&report);
        assert!(expected.contains(&seen.late), "{name}: {report:?}");
        assert_eq!(seen.lost + seen.late, report.unanswered, "{name}: {report:?}");
        assert_eq!(report.seconds, 1.0, "{name}");
        let columns = &report.over_time;
        assert!(columns.width * columns.columns.len() as f64 <= 1.15, "they are in no figure of the run: {columns:?}");
        assert_eq!(report.bytes.received, 64 * report.answered, "{name}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_number_may_be_late_too_and_has_jitter() {
    let ask = || Shape::Ask(Arc::new(Ask { payload: Payload::template("0", 0).unwrap(), expect: Expect::default() }));
    let duration = Some(Duration::from_secs(2));
    // What was given up last is listened for until there is another one.
    let server = simulated("convert", "delay=35ms").await;
    let late = Plan { shape: ask(), timeout: Duration::from_millis(50), duration, ..to(&server) };
    let report = run(late).await;
    assert_eq!((report.answered, packets(&report).lost), (0, 0), "{report:?}");
    assert!(report.sent > 100 && packets(&report).late == report.sent, "{report:?}");

    // Each question has a link of its own where the one before was given up, and each new one draws the same.
    let server = simulated("convert", &format!("jitter=20ms&seed={MIXED}")).await;
    let report = run(Plan { shape: ask(), duration: Some(Duration::from_secs(20)), ..to(&server) }).await;
    assert!(report.answered > 1000 && packets(&report).measured == "here", "{report:?}");
    assert!((6.0..12.0).contains(&packets(&report).jitter_ms), "there and back: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_bits_is_one_of_datagrams() {
    for (name, size) in [("echo", 120), ("discard", 1200), ("convert", 2)] {
        let server = simulated(name, "delay=1ms").await;
        let bits = |per_second: usize| format!("{}bit", per_second * size * 8);
        let payload = || if name == "convert" { Payload::fixed(&b"0\n"[..]) } else { Payload::of_size(size) };
        let shape = match name {
            "discard" => Shape::Bulk(Direction::Up),
            _ => Shape::Ask(Arc::new(Ask { payload: payload(), expect: Expect::default() })),
        };
        let report =
            run(Plan { shape: shape.clone(), size: Some(size), ..at_rate(&bits(500), 2000, to(&server)) }).await;
        assert_eq!((report.offered, report.answered), (1000, 1000), "{name}: {report:?}");
        let rate = report.bit_rate.unwrap();
        let expected = (500 * size * 8) as f64;
        assert!((rate.offered / expected - 1.0).abs() < 0.01, "{name}: {rate:?}");
        assert!((rate.reached / expected - 1.0).abs() < 0.01, "{name}: {rate:?}");
        assert!((report.rate / 500.0 - 1.0).abs() < 0.01, "{name}: {report:?}");
        let ramp = format!("{}..{}/2s", bits(100), bits(300));
        let report = run(Plan { shape, size: Some(size), ..at_rate(&ramp, 2000, to(&server)) }).await;
        assert_eq!(report.offered, 400, "{name}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_are_sent_and_no_more() {
    for name in ["echo", "discard"] {
        let server = simulated(name, "delay=1ms").await;
        let plan = Plan { count: Some(1000), ..to(&server) };
        let report = run(if name == "echo" { plan } else { up(plan) }).await;
        assert_eq!((report.offered, report.answered), (1000, 1000), "{name}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_number_is_asked_one_at_a_time() {
    let ask = |text: &str, expect: &str| {
        let mut expected = Expect::default();
        expected.add(expect);
        Shape::Ask(Arc::new(Ask { payload: Payload::template(text, 0).unwrap(), expect: expected }))
    };
    let server = simulated("convert", &format!("loss=0.1&duplicate=0.2&delay=5ms&jitter=10ms&seed={MIXED}")).await;
    let plan = Plan {
        shape: ask("{{seq}} C to K", "K"),
        timeout: Duration::from_millis(100),
        duration: Some(Duration::from_secs(20)),
        ..to(&server)
    };
    let report = run(plan).await;
    assert!(report.answered > 300 && report.failed == 0, "{report:?}");
    // Whoever had no answer asks from a new socket, so that a late one is nobody else's.
    assert!(report.unanswered > 50 && packets(&report).lost == report.unanswered, "{report:?}");
    assert!(packets(&report).duplicates > 30 && report.connections.opened > 50, "{report:?}");

    let server = simulated("convert", "").await;
    let report = run(Plan { shape: ask("36.6", "fever"), count: Some(20), ..to(&server) }).await;
    assert_eq!((report.answered, report.failed), (0, 20), "{report:?}");
    assert_eq!(report.failures.keys().collect::<Vec<_>>(), ["unexpected reply"]);
}

#[tokio::test(start_paused = true)]
async fn an_echo_must_be_the_same_where_that_is_expected() {
    let ask = Ask { payload: Payload::of_size(200), expect: Expect { same: true, ..Expect::default() } };
    let server = simulated("echo", "").await;
    let report = run(Plan { shape: Shape::Ask(Arc::new(ask)), count: Some(100), ..to(&server) }).await;
    assert_eq!((report.answered, report.failed), (100, 0), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_tell_what_has_come_is_not_believed_to_have_got_it() {
    for name in ["echo", "convert"] {
        let server = simulated(name, "").await;
        let report = run(up(Plan { count: Some(100), ..to(&server) })).await;
        assert_eq!((report.sent, report.answered, report.unanswered), (100, 0, 100), "{name}: {report:?}");
        assert!(
            report.packets.is_none() && report.notes.iter().any(|note| note.contains("does not tell")),
            "{report:?}"
        );
    }
    let server = simulated("convert", "").await;
    let plan = Plan { count: Some(10), timeout: Duration::from_millis(100), ..to(&server) };
    let report = run(plan).await;
    assert_eq!(report.answered, 0, "what is no echo is no answer: {report:?}");
    assert!(report.notes.iter().any(|note| note.starts_with("10 datagrams were not what was sent")), "{report:?}");
}

#[tokio::test]
async fn what_datagrams_cannot_do_is_refused() {
    let plan = Plan::to("udp://127.0.0.1:9".parse().unwrap());
    let sized = |size| Shape::Ask(Arc::new(Ask { payload: Payload::of_size(size), expect: Expect::default() }));
    for shape in [sized(23), sized(65_508), Shape::Bulk(Direction::Down), Shape::Bulk(Direction::Both)] {
        let error = bench::run(Plan { shape: shape.clone(), ..plan.clone() }, &Scope::default(), |_| ()).await;
        let error = error.map(drop).unwrap_err();
        assert!(error.kind() == Kind::Usage && error.advice().is_some(), "{shape:?}: {error}");
    }
    let template =
        Shape::Ask(Arc::new(Ask { payload: Payload::template("{{seq}}", 0).unwrap(), expect: Expect::default() }));
    for (shape, rate) in [(template, "10mbit"), (sized(24), "1000gbit")] {
        let plan = Plan { shape: shape.clone(), rate: Some(rate.parse().unwrap()), ..plan.clone() };
        let error = bench::run(plan, &Scope::default(), |_| ()).await.map(drop).unwrap_err();
        assert!(error.kind() == Kind::Usage && error.advice().unwrap().contains("--size 1200"), "{shape:?}: {error}");
    }
}

// With the kernel's sockets.

/// A server on a thread of its own.
fn elsewhere(at: &str, service: Arc<dyn Service>) -> (Address, impl Drop) {
    struct Ends(Option<tokio::sync::oneshot::Sender<()>>, Option<JoinHandle<()>>);
    impl Drop for Ends {
        fn drop(&mut self) {
            drop(self.0.take());
            drop(self.1.take().map(JoinHandle::join));
        }
    }
    let (at, (tell, told), (end, ended)) = (at.to_owned(), mpsc::channel(), tokio::sync::oneshot::channel());
    let work = std::thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let server = serving(&at, service).await;
            tell.send(server.address().clone()).unwrap();
            drop(ended.await);
        });
    });
    (told.recv().unwrap(), Ends(Some(end), Some(work)))
}

#[tokio::test]
async fn each_kind_of_socket_is_measured_in_trains_and_alone() {
    let folder = Folder::new();
    let unix = folder.address("unix-dgram:{dir}/s").to_string();
    for at in ["udp://127.0.0.1:0", "udp://[::1]:0", &unix] {
        for (name, shape) in [("echo", None), ("discard", Some(Shape::Bulk(Direction::Up)))] {
            let (address, _server) = elsewhere(at, service(name));
            for (depth, size) in [(1, 24), (64, 64), (16, 1200), (3, 9000)] {
                let ask = Ask { payload: Payload::of_size(size), expect: Expect { same: true, ..Expect::default() } };
                let shape = shape.clone().unwrap_or_else(|| Shape::Ask(Arc::new(ask)));
                // A schedule that nobody's buffers overflow by; a closed loop of echoes has its own.
                let rate = (name == "discard").then(|| "20000".parse().unwrap());
                let plan = Plan { shape, depth, rate, connections: 3, count: Some(3000), ..Plan::to(address.clone()) };
                let report = run(plan).await;
                let context = format!("{address} {name}, {depth} at a time of {size} bytes: {report:?}");
                assert_eq!((report.sent, report.answered), (3000, 3000), "{context}");
                let seen = packets(&report);
                assert_eq!((seen.lost, seen.reordered, seen.duplicates, seen.kernel_drops), (0, 0, 0, 0), "{context}");
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_sockets_are_told_apart() {
    for (name, shape) in [("echo", None), ("discard", Some(Shape::Bulk(Direction::Up)))] {
        let (address, _server) = elsewhere("udp://127.0.0.1:0", service(name));
        let base = Plan::to(address);
        let shape = shape.unwrap_or(base.shape.clone());
        let report =
            run(Plan { shape, connections: 1000, count: Some(20_000), rate: Some("20000".parse().unwrap()), ..base })
                .await;
        assert_eq!((report.sent, report.answered), (20_000, 20_000), "{name}: {report:?}");
        assert_eq!((packets(&report).lost, packets(&report).duplicates), (0, 0), "{name}: {report:?}");
        assert_eq!(report.connections.opened, 1000);
    }
}

/// An echo whose buffer holds next to nothing, and who sleeps until it is woken. Its socket stays for as long as the one
/// that is given back.
fn drowsy(asleep: mpsc::Receiver<()>) -> (UdpSocket, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    let same = socket.try_clone().unwrap();
    let work = std::thread::spawn(move || {
        asleep.recv().unwrap();
        let mut buf = [0; 2048];
        while let Ok((len, peer)) = socket.recv_from(&mut buf) {
            socket.send_to(&buf[..len], peer).unwrap();
        }
    });
    (same, work)
}

#[tokio::test]
async fn what_the_kernel_drops_at_a_foreign_echo_is_no_loss_of_the_network() {
    let (wake, asleep) = mpsc::channel();
    let (socket, work) = drowsy(asleep);
    let address = format!("udp://{}", socket.local_addr().unwrap()).parse().unwrap();
    let plan = Plan { connections: 2, count: Some(2000), rate: Some("4000".parse().unwrap()), ..Plan::to(address) };
    let plan = Plan { timeout: Duration::from_secs(3), ..plan };
    let mut wake = Some(wake);
    let seen = |progress: &bench::Progress| {
        if progress.counts.offered == 2000 {
            let _ = wake.take().map(|wake| wake.send(()));
        }
    };
    let report = in_time("a load", bench::run(plan, &Scope::default(), seen)).await.unwrap();
    work.join().unwrap();
    let seen = packets(&report);
    assert!(report.answered > 0 && seen.kernel_drops > 1000 && seen.lost == 0, "{report:?}");
    assert_eq!(seen.kernel_drops, report.unanswered, "{report:?}");
    let drops = seen.kernel_drops;
    let note = format!("the kernel dropped {drops} of them at the other end's socket, whose buffer was full");
    assert!(report.notes.contains(&note), "{:?}", report.notes);
}

#[tokio::test]
async fn what_the_kernel_drops_at_a_discard_that_stalls_is_no_loss_of_the_network() {
    let (ready, address) = mpsc::channel();
    let (stall, stalls) = mpsc::channel::<()>();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let work = std::thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let server = serving("udp://127.0.0.1:0", service("discard")).await;
            ready.send(server.address().clone()).unwrap();
            tokio::spawn(async move { stalls.recv().unwrap() });
            drop(ended.await);
        });
    });
    let address = address.recv().unwrap();
    let plan = up(Plan {
        connections: 2,
        rate: Some("100000".parse().unwrap()),
        duration: Some(Duration::from_secs(1)),
        ..Plan::to(address)
    });
    let mut stall = Some(stall);
    let seen = |progress: &bench::Progress| {
        if progress.counts.offered > 15_000 {
            let _ = stall.take().map(|stall| stall.send(()));
        }
    };
    let report = in_time("a load", bench::run(plan, &Scope::default(), seen)).await.unwrap();
    let seen = packets(&report);
    assert_eq!(seen.measured, "there");
    assert!(seen.kernel_drops > 1000, "{report:?}");
    assert_eq!((seen.lost, seen.duplicates), (0, 0), "{report:?}");
    assert!(report.notes.iter().any(|note| note.starts_with("the kernel dropped ")), "{:?}", report.notes);
    drop(end);
    work.join().unwrap();
}

#[tokio::test]
async fn nobody_there_is_a_failure_and_not_a_loss() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for counted in [false, true] {
        let plan = Plan { count: Some(20), connections: 2, ..Plan::to(format!("udp://{gone}").parse().unwrap()) };
        let plan = Plan { duration: Some(Duration::from_secs(1)), ..plan };
        let report = run(if counted { up(plan) } else { plan }).await;
        let refused = report.failures.get("refused").copied().unwrap_or_default();
        assert!(refused > 0 && report.answered == 0, "{report:?}");
    }
}

// The other end.

#[tokio::test]
async fn discard_answers_nothing_but_a_question_of_ours_and_never_with_more() {
    let server = serving("udp://127.0.0.1:0", service("discard")).await;
    let socket = Socket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address().authority()).await.unwrap();
    let stamp = |kind: u8| [&[0x9d, b'h', b'b', kind][..], &[0; 200]].concat();
    for quiet in [
        stamp(3),
        b"".to_vec(),
        b"hullo".to_vec(),
        vec![0; 1400],
        stamp(1),
        stamp(2),
        stamp(4),
        stamp(9),
        stamp(3)[..60].to_vec(),
    ] {
        socket.send(&quiet).await.unwrap();
    }
    let question = stamp(3);
    socket.send(&question).await.unwrap();
    let mut answer = [0; 2048];
    let len = in_time("an answer", socket.recv(&mut answer)).await.unwrap();
    assert!(answer.starts_with(&[0x9d, b'h', b'b', 4]) && len <= question.len(), "{:?}", &answer[..len]);
    // It hears in the order in which it is spoken to: there was no other answer before, and there is none behind.
    assert!(socket.try_recv(&mut answer).is_err());
}

#[tokio::test]
async fn whoever_watches_is_told_of_each_client_and_how_fast_it_is() {
    for name in ["echo", "discard", "chargen"] {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let watch = move |event: &Event<'_>| {
            let line = match event {
                Event::Opened { peer } => format!("opened {peer}"),
                Event::Rate(rate) => format!("rate {} {} {}", rate.peer, rate.received, rate.sent > 0),
                Event::Closed { peer, received, .. } => format!("closed {peer} {received}"),
                _ => return,
            };
            let _ = tell.send(line);
        };
        let server = serving_in(watched(Limits::server(), watch), "udp://127.0.0.1:0", service(name)).await;
        let mut wanted = Vec::new();
        for size in [100, 200] {
            let socket = Socket::bind("127.0.0.1:0").await.unwrap();
            let peer = format!("udp://{}", socket.local_addr().unwrap());
            socket.send_to(&vec![b'x'; size], server.address().authority()).await.unwrap();
            wanted.extend([format!("opened {peer}"), format!("rate {peer} {size} {}", name != "discard")]);
        }
        wanted.sort();
        let mut heard = Vec::new();
        while heard.len() < wanted.len() {
            heard.extend(in_time(name, told.recv()).await);
        }
        heard.sort();
        assert_eq!(heard, wanted, "{name}");
    }
}
