//! How others reach a server: the addresses of this machine, and a QR code of the best one.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use hullo::Address;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use qrcode::{Color, QrCode};

/// Light around the code, which a camera finds it by. The standard asks for four; two are enough on a screen.
const MARGIN: usize = 2;

/// The addresses by which a listener is reached from elsewhere: its own, or where it listens on all of them, those of this
/// machine. The one that a telephone in the same network most probably reaches comes first.
pub(super) fn from_elsewhere(bound: &Address) -> Vec<Address> {
    let of = |ip: IpAddr| Address { host: ip.to_string(), ..bound.clone() };
    match bound.host.parse::<IpAddr>() {
        // A name, or nothing, which is loopback.
        Err(_) => {
            if bound.host.is_empty() || bound.host == "localhost" {
                Vec::new()
            } else {
                vec![bound.clone()]
            }
        }
        Ok(ip) if ip.is_loopback() => Vec::new(),
        Ok(ip) if !ip.is_unspecified() => vec![bound.clone()],
        Ok(any) => ours().into_iter().filter(|ip| any.is_ipv6() || ip.is_ipv4()).map(of).collect(),
    }
}

/// The addresses of this machine, without those that only lead back to it or need the name of an interface.
fn ours() -> Vec<IpAddr> {
    let up =
        |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK);
    let address = |one: nix::ifaddrs::InterfaceAddress| {
        let address = one.address.filter(|_| up(one.flags))?;
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from(*v4));
        Some(v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(*v6)))?.ip())
    };
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let all: BTreeSet<_> = all.filter_map(address).filter(|ip| !is_link_local(ip)).map(|ip| (rank(&ip), ip)).collect();
    all.into_iter().map(|(_, ip)| ip).collect()
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Home networks first, then what is reached from everywhere.
fn rank(ip: &IpAddr) -> u8 {
    match ip {
        IpAddr::V4(v4) if v4.octets().starts_with(&[192, 168]) => 0,
        IpAddr::V4(v4) if v4.is_private() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(v6) if !Ipv6Addr::is_unique_local(v6) => 3,
        IpAddr::V6(_) => 4,
    }
}

/// A code for cameras, two dots to a character. Where there may be colours it is black on white whatever the terminal's own
/// are; where not, it is drawn for a dark terminal, and most cameras read the other way too.
pub(super) fn code(text: &str, colours: bool) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let width = code.width();
    let dots = code.to_colors();
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(MARGIN).filter(|at| *at < width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => dots[y * width + x] == Color::Light,
            _ => true,
        }
    };
    let all = width + 2 * MARGIN;
    let line = |y: usize| {
        let dots: String = (0..all).map(|x| half(is_light(x, y), y + 1 < all && is_light(x, y + 1))).collect();
        // Bright white on black: what is light is drawn.
        if colours { format!("\x1b[97;40m{dots}\x1b[0m") } else { dots }
    };
    Some((0..all).step_by(2).map(line).collect::<Vec<_>>().join("\n"))
}

/// The character whose upper and lower half are light.
fn half(upper: bool, lower: bool) -> char {
    match (upper, lower) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_reach_is_shown() {
        for (bound, shown) in [
            ("http://127.0.0.1:8000/", 0),
            ("http://[::1]:8000/", 0),
            ("http://localhost:8000/", 0),
            ("http://192.0.2.1:8000/", 1),
            ("https://files.example:8000/", 1),
        ] {
            assert_eq!(from_elsewhere(&bound.parse().unwrap()).len(), shown, "{bound}");
        }
        for address in from_elsewhere(&"http://0.0.0.0:8000/".parse().unwrap()) {
            let ip: IpAddr = address.host.parse().unwrap();
            assert!(ip.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified(), "{address}");
        }
    }

    #[test]
    fn the_best_address_is_that_of_the_home_network() {
        let mut all: Vec<IpAddr> =
            ["fd00::1", "2001:db8::1", "203.0.113.1", "10.0.0.1", "192.168.1.5"].map(|ip| ip.parse().unwrap()).into();
        all.sort_by_key(rank);
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["192.168.1.5", "10.0.0.1", "203.0.113.1", "2001:db8::1", "fd00::1"]);
    }

    #[test]
    fn a_code_has_its_corners_and_its_margin() {
        let plain = code("http://192.168.1.5:8000/", false).unwrap();
        let rows: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        let width = rows[0].len();
        assert!(rows.iter().all(|row| row.len() == width) && rows.len() == width.div_ceil(2));
        assert!(rows[0].iter().all(|c| *c == '█'), "the margin is light");
        // The upper left corner of a code is a square of seven dark dots.
        assert_eq!(rows[1][2..9].iter().collect::<String>(), " ▄▄▄▄▄ ");
        assert_eq!(code("x", true).unwrap().matches("\x1b[97;40m").count(), code("x", false).unwrap().lines().count());
        assert!(code(&"x".repeat(5000), false).is_none());
    }
}
