//! What the machine says of itself: how much it has worked, which ports are free and who listens. And the middle of many
//! figures, which is what is believed of a machine whose speed drifts.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::run::{Outcome, failed};

/// How long a program may take until it listens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The tables of sockets, and what says in them that a socket takes what comes: it listens, or it is UDP's.
const TABLES: &[(&str, &str)] = &[("tcp", " 0A "), ("tcp6", " 0A "), ("udp", " 07 "), ("udp6", " 07 ")];

/// The seconds that all cores have worked since the machine started.
pub(crate) fn busy() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/stat").map_err(|error| failed(format!("/proc/stat: {error}")))?;
    let figures: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // The fourth and fifth are idle time; the unit is a hundredth of a second.
    let idle: f64 = figures.iter().skip(3).take(2).sum();
    Ok((figures.iter().take(8).sum::<f64>() - idle) / 100.0)
}

pub(crate) fn free_port() -> Outcome<u16> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(|error| failed(format!("no port is free: {error}")))
}

/// Waits until somebody listens there.
pub(crate) fn listens(port: u16) -> Outcome {
    if wait(PATIENCE, || is_open(port)) { Ok(()) } else { Err(failed(format!("nobody listens on port {port}"))) }
}

/// Whether somebody listens there, asked without a connection, for who takes one alone.
pub(crate) fn is_open(port: u16) -> bool {
    let wanted = format!(":{port:04X} ");
    TABLES.iter().any(|(table, state)| {
        let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        // A socket that waits has no peer, and a peer's port of 0.
        table.lines().any(|line| line.contains(&wanted) && line.contains(state) && line.contains(":0000 "))
    })
}

/// Waits until something is so, and says whether it came to that.
pub(crate) fn wait(limit: Duration, mut there: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !there() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The figure in the middle; 0 of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let upper = figures.len() / 2;
    match figures.as_slice() {
        [] => 0.0,
        some if some.len() % 2 == 1 => some[upper],
        some => f64::midpoint(some[upper - 1], some[upper]),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn who_listens_is_seen_over_tcp_and_udp() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        for port in [tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port()] {
            assert!(listens(port).is_ok(), "{port}");
        }
    }

    #[test]
    fn the_machine_has_worked() {
        assert!(busy().is_ok_and(|seconds| seconds > 0.0));
    }
}
