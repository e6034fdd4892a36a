#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Load on a simulated link, on a clock that waits for nobody: what is counted, and from when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hullo::{
    BoxFuture, Limits, Link, Result, Scope, Server, Service,
    bench::{self, Ask, Expect, Payload, Plan, Report, Shape},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until},
};

/// An echo that does as it is told with each piece that comes.
struct Moody<F>(Arc<F>);

impl<F, R> Service for Moody<F>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = Deed> + Send + 'static,
{
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        let mood = self.0.clone();
        Box::pin(async move {
            let (mut stream, mut buf, mut heard) = (link.stream(), [0; 4096], 0);
            loop {
                let read = stream.read(&mut buf).await.unwrap_or_default();
                if read == 0 {
                    return Ok(());
                }
                heard += 1;
                match mood(heard).await {
                    Deed::Echo => drop(stream.write_all(&buf[..read]).await),
                    Deed::Mumble => drop(stream.write_all(&vec![b'?'; read]).await),
                    Deed::Nothing => {}
                    Deed::HangUp => return Ok(()),
                }
            }
        })
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Echo,
    Mumble,
    Nothing,
    HangUp,
}

static ROOM: AtomicU64 = AtomicU64::new(0);

/// What a load on such a server comes to; the plan's address is the server's.
async fn measured<F, R>(mood: F, plan: impl FnOnce(Plan) -> Plan) -> Report
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = Deed> + Send + 'static,
{
    let address = format!("memory://bench-{}", ROOM.fetch_add(1, Relaxed)).parse().unwrap();
    let mut server = Server::new(Scope::new(Limits::server(), None));
    server.listen(&address, Arc::new(Moody(Arc::new(mood)))).await.unwrap();
    let plan = plan(Plan { threads: 0, ..Plan::to(address) });
    let report = bench::run(plan, &Scope::default(), |_| ()).await.unwrap();
    assert_eq!(report.offered, report.answered + report.failed + report.unanswered, "nothing is lost from sight");
    assert!(report.sent <= report.offered);
    assert_eq!(report.latency_ms.count, report.answered + report.unanswered);
    let columns = &report.over_time.columns;
    assert_eq!(columns.iter().map(|column| column.offered).sum::<u64>(), report.offered);
    assert_eq!(columns.iter().map(|column| column.answered).sum::<u64>(), report.answered);
    assert_eq!(columns.iter().map(|column| column.unanswered).sum::<u64>(), report.unanswered);
    // A run that takes no time has no rate either.
    let in_time = if report.seconds > 0.0 { (report.rate * report.seconds).round() as u64 } else { report.answered };
    assert_eq!(columns.iter().map(|column| column.done).sum::<u64>(), in_time, "what came behind the end is in none");
    let begins = |at: usize| at == 0 || at as f64 * report.over_time.width < report.seconds;
    assert!((0..columns.len()).all(begins), "no column lies behind the end");
    report
}

/// Answers at once, but from the fourth to the sixth second not at all.
fn stalls() -> impl Fn(u64) -> BoxFuture<'static, Deed> {
    let start = Instant::now();
    move |_| {
        Box::pin(async move {
            let (from, to) = (start + Duration::from_secs(4), start + Duration::from_secs(6));
            if (from..to).contains(&Instant::now()) {
                sleep_until(to).await;
            }
            Deed::Echo
        })
    }
}

fn open(rate: &str, seconds: u64) -> impl FnOnce(Plan) -> Plan {
    let rate = rate.parse().unwrap();
    move |plan| Plan { rate: Some(rate), duration: Some(Duration::from_secs(seconds)), ..plan }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_in_the_latency_of_all_that_was_due_meanwhile() {
    let report = measured(stalls(), open("500", 10)).await;
    assert_eq!((report.offered, report.answered, report.unanswered), (5000, 5000, 0));
    let latency = &report.latency_ms;
    assert!(latency.p50.unwrap() < 5.0, "{latency:?}");
    assert!((990.0..1010.0).contains(&latency.p90.unwrap()), "{latency:?}");
    assert!((1890.0..1910.0).contains(&latency.p99.unwrap()), "{latency:?}");
    assert!((1990.0..2010.0).contains(&latency.max.unwrap()) && latency.censored.is_empty(), "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_end_cuts_off_is_counted_and_marked() {
    let report = measured(stalls(), open("500", 5)).await;
    assert_eq!((report.offered, report.answered, report.unanswered), (2500, 2000, 500));
    assert!(report.sent < 2_020, "{}", report.sent);
    let latency = &report.latency_ms;
    assert!(latency.p50.unwrap() < 5.0 && latency.p99.unwrap() >= 900.0, "{latency:?}");
    assert!(!latency.censored.contains(&"p50".to_owned()), "{latency:?}");
    for name in ["p90", "p95", "p99", "max"] {
        assert!(latency.censored.contains(&name.to_owned()), "{name}: {latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_does_not_see_the_stall() {
    let paced = |stall: Box<dyn Fn(u64) -> BoxFuture<'static, Deed> + Send + Sync>| {
        move |heard| {
            let deed = stall(heard);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                deed.await
            }) as BoxFuture<'static, Deed>
        }
    };
    let report = measured(paced(Box::new(stalls())), |plan| plan).await;
    assert_eq!(report.loop_, "closed");
    assert!(report.latency_ms.p99.unwrap() < 20.0, "{:?}", report.latency_ms);
    assert!(report.latency_ms.max.unwrap() >= 1900.0, "{:?}", report.latency_ms);
    assert_eq!(report.offered, report.sent);
}

#[tokio::test(start_paused = true)]
async fn so_many_requests_are_so_many() {
    for (connections, depth, rate) in [(1, 1, None), (7, 3, None), (3, 1, Some("1000")), (40, 2, Some("100..300/1s"))] {
        let plan = |plan| Plan {
            connections,
            depth,
            rate: rate.map(|rate: &str| rate.parse().unwrap()),
            count: Some(150),
            ..plan
        };
        let report = measured(|_| async { Deed::Echo }, plan).await;
        assert_eq!((report.offered, report.answered), (150, 150), "{connections} {depth} {rate:?}");
        assert_eq!(report.connections.opened, connections as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_a_server_does_has_its_place() {
    let mood = |heard: u64| async move {
        match heard % 7 {
            3 => Deed::Mumble,
            5 => Deed::Nothing,
            6 => Deed::HangUp,
            _ => Deed::Echo,
        }
    };
    let ask = Ask { payload: Payload::template("{{seq}} {{random 20}}\n", 7).unwrap(), expect: Expect::default() };
    let ask = |same| Ask { expect: Expect { same, ..Expect::default() }, ..ask.clone() };
    let plan = |plan| Plan {
        shape: Shape::Ask(Arc::new(ask(true))),
        rate: Some("200".parse().unwrap()),
        duration: Some(Duration::from_secs(20)),
        timeout: Duration::from_secs(1),
        ..plan
    };
    let report = measured(mood, plan).await;
    let kinds: Vec<_> = report.failures.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        ["timeout", "unexpected reply"],
        "a request that gets nothing holds its connection until it breaks"
    );
    assert!(report.connections.opened > 10 && report.answered > 100, "{report:?}");
    let rude = |heard: u64| async move { if heard % 4 == 3 { Deed::HangUp } else { Deed::Echo } };
    let report = measured(rude, open("200", 5)).await;
    assert_eq!(report.failures.keys().collect::<Vec<_>>(), ["cut"]);
    assert_eq!((report.offered, report.failed), (1000, 330), "each third of each connection");
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_does_not_count() {
    let plan = |plan: Plan| Plan { warm_up: Duration::from_secs(5), ..open("500", 5)(plan) };
    let report = measured(stalls(), plan).await;
    // The stall ends in the first second of what counts; those that were due before are not in it.
    assert_eq!((report.offered, report.answered), (2500, 2500));
    assert!((990.0..1010.0).contains(&report.latency_ms.max.unwrap()), "{:?}", report.latency_ms);
}

#[tokio::test(start_paused = true)]
async fn who_stops_early_gets_what_was() {
    let address = "memory://bench-early".parse().unwrap();
    let mut server = Server::new(Scope::new(Limits::server(), None));
    server.listen(&address, Arc::new(Moody(Arc::new(|_| async { Deed::Echo })))).await.unwrap();
    let scope = Scope::default();
    let stopper = scope.clone();
    let mut looked = 0;
    let plan = open("100", 3600)(Plan { threads: 0, ..Plan::to(address) });
    let report = bench::run(plan, &scope, |progress| {
        looked += 1;
        if progress.counts.answered >= 200 {
            stopper.stop();
        }
    });
    let report = report.await.unwrap();
    assert!(looked >= 7 && report.seconds < 4.0, "{looked} {}", report.seconds);
    assert_eq!(
        (report.offered, report.unanswered),
        (report.answered, 0),
        "what was due after the stop was not offered"
    );
    let error =
        bench::run(Plan { threads: 1, ..Plan::to("memory://bench-early".parse().unwrap()) }, &scope, |_| ()).await;
    assert!(error.unwrap_err().to_string().contains("stopped"), "who wants it to stop does not wait for connections");
}

#[tokio::test(start_paused = true)]
async fn what_the_warm_up_left_behind_is_not_paid_for_afterwards() {
    let slow = |_| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Deed::Echo
    };
    let plan = |plan| Plan { warm_up: Duration::from_secs(1), connections: 1, ..open("1000", 1)(plan) };
    let report = measured(slow, plan).await;
    assert!((90..=120).contains(&report.sent), "{}", report.sent);
    assert_eq!(report.offered, 1000);
}

#[tokio::test(start_paused = true)]
async fn of_very_many_that_nobody_took_some_are_looked_at_and_all_are_counted() {
    let report = measured(|_| async { Deed::Nothing }, open("3000000", 5)).await;
    assert_eq!((report.offered, report.unanswered), (15_000_000, 15_000_000));
    assert!((2_400.0..2_800.0).contains(&report.latency_ms.p50.unwrap()), "{:?}", report.latency_ms);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_hangs_up_is_not_stormed() {
    let report =
        measured(|_| async { Deed::HangUp }, |plan| Plan { duration: Some(Duration::from_secs(2)), ..plan }).await;
    assert_eq!(report.answered, 0);
    assert!((20..200).contains(&report.failed), "{}", report.failed);
}

#[tokio::test]
async fn nobody_there_is_an_error_and_a_bad_plan_too() {
    let plan = Plan { threads: 0, ..Plan::to("tcp://127.0.0.1:1".parse().unwrap()) };
    let error = bench::run(plan.clone(), &Scope::default(), |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), hullo::Kind::Refused);
    let error = bench::run(Plan { connections: 0, ..plan }, &Scope::default(), |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), hullo::Kind::Usage);
}
