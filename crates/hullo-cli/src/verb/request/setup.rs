//! The client that the words ask for.

use std::env;

use http::Version;
use hullo::{
    Error, Result,
    options::Options,
    request::{Auth, Client, Jar, Proxies, Proxy, Retry, Way},
};

use super::items::Items;
use crate::args::Request;

/// How the words want requests to be sent.
pub(super) fn client(args: &Request, items: &Items, auth: Option<Auth>, jar: Jar) -> Result<Client> {
    let version = args.http.as_deref().map(|version| if version == "2" { Version::HTTP_2 } else { Version::HTTP_11 });
    let way = Way {
        version,
        unix: args.unix_socket.clone(),
        places: args.resolve.clone(),
        spelling: items.spelling().into(),
        ..Way::default()
    };
    Ok(Client {
        redirects: if args.follow { args.max_redirects } else { 0 },
        way,
        options: options(args)?,
        proxies: proxies(args)?,
        auth,
        jar: Some(jar),
        retry: Retry { times: args.retry, all: args.retry_all },
        decode: !args.no_decode,
        patience: Some(args.timeout),
        teller: None,
    })
}

/// The proxies of the words, or else those of the environment.
fn proxies(args: &Request) -> Result<Proxies> {
    if let Some(text) = &args.proxy {
        let proxy = Proxy { named_by: Some("--proxy".to_owned()), ..Proxy::parse(text)? };
        if proxy.user.as_ref().is_some_and(|(_, password)| password.is_some()) {
            return Err(Error::usage(
                "--proxy has a password in it: what stands in a command line is for everybody to see",
            )
            .hint("write the name alone, with the password in the variable HULLO_VIA_PASSWORD"));
        }
        return Ok(Proxies { http: Some(proxy.clone()), https: Some(proxy), except: Vec::new() });
    }
    if args.no_proxy || args.unix_socket.is_some() {
        return Ok(Proxies::default());
    }
    // In capitals, http_proxy may be a header that a web server handed to a program (CVE-2016-5385).
    let http = variable(&["http_proxy", "all_proxy", "ALL_PROXY"])?;
    let https = variable(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?;
    let except = env::var("no_proxy").or_else(|_| env::var("NO_PROXY")).unwrap_or_default();
    Ok(Proxies { http, https, except: except.split(',').map(str::to_owned).collect() })
}

fn variable(names: &[&str]) -> Result<Option<Proxy>> {
    let found = names.iter().find_map(|name| Some((name, env::var(name).ok().filter(|value| !value.is_empty())?)));
    found
        .map(|(name, value)| {
            let proxy = Proxy::parse(&value).map_err(|error| {
                let hint = error.advice().unwrap_or("write http://host:port, or use --no-proxy").to_owned();
                Error::usage(format!("the variable {name} names no proxy")).hint(hint)
            })?;
            Ok(Proxy { named_by: Some(format!("the variable {name}")), ..proxy })
        })
        .transpose()
}

/// The words that say the same as an address's options.
fn options(args: &Request) -> Result<Options> {
    let (ca, insecure) = match args.verify.as_deref() {
        Some("no" | "false") => (None, true),
        Some("yes" | "true") | None => (args.ca.as_deref(), args.insecure),
        Some(file) => (Some(file), false),
    };
    let family = if args.ipv4 { Some("0.0.0.0") } else { args.ipv6.then_some("::") };
    let mut options = Options::default();
    for (name, value) in [
        ("bind", family),
        ("ca", ca),
        ("cert", args.cert.as_deref()),
        ("insecure", insecure.then_some("true")),
        ("key", args.cert_key.as_deref()),
        ("pin", args.pin.as_deref()),
    ] {
        if let Some(value) = value {
            options.set(name, value)?;
        }
    }
    Ok(options)
}
