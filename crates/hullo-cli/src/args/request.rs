//! The words of `hullo request`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};

use super::time;

#[derive(ClapArgs)]
#[command(after_help = "Items:
  Header:value     a header; Header: removes it, Header; sends it empty, Header:@file has it from a file
  name==value      a parameter of the query
  name=value       a field of the body: a string
  name:=json       a field of the body: any JSON
  a[b][]:=1        a field inside of fields: {\"a\":{\"b\":[1]}}
  name@file        a file to upload (the body is then a form); name@file;type=image/png
  @file            the file is the body; @- is stdin
  name=@file  name:=@file    a field with the content of a file
  \\: \\= \\@ \\; \\[    the sign itself

stdin is the body of a POST, PUT or PATCH without fields. Without a method it is read where it is a pipe or a file, and
makes the request a POST if there is anything in it; --ignore-stdin leaves it to others. Up to 1 MiB of it is sent with
its length, more (and with --chunked all of it) as it comes.

Passwords and tokens come from --auth-file, from the variable HULLO_PASSWORD, from a netrc file, or are asked for:
what stands in a command line is for everybody on this machine to see.

The query of the URL is the server's; options go behind a #, as in 'https://host/?q=1#bind=10.0.0.1' (pin, ca and
insecure may stand in the query too).

Examples:
  hullo request :7207                                GET http://localhost:7207/
  hullo request POST https://example.org/items name=Ada age:=36 X-Token:@token.txt
  hullo request --form https://example.org/upload photo@me.jpg
  hullo request -c -o big.iso https://example.org/big.iso      go on where the last attempt ended
  hullo request --auth ada --auth-type digest https://example.org/
  hullo request --session work POST https://example.org/login name=Ada
  hullo request --curl POST https://example.org/items name=Ada  the same for curl")]
pub(crate) struct Request {
    /// Method (optional), URL and items
    #[arg(required = true, num_args = 1.., value_name = "[METHOD] URL [ITEM]")]
    pub(crate) words: Vec<String>,

    /// Send the fields as a form instead of JSON
    #[arg(long, short, help_heading = "Body")]
    pub(crate) form: bool,

    /// Send the fields as a form with parts, as with files
    #[arg(long, help_heading = "Body", conflicts_with_all = ["form", "raw"])]
    pub(crate) multipart: bool,

    /// The body as it is
    #[arg(long, value_name = "BODY", help_heading = "Body", conflicts_with = "form")]
    pub(crate) raw: Option<String>,

    /// Compress the body: with deflate, or as said: --compress=zstd
    #[arg(long, short = 'x', value_name = "CODING", help_heading = "Body", num_args = 0..=1, require_equals = true, default_missing_value = "deflate")]
    pub(crate) compress: Option<Compress>,

    /// Send stdin as it comes, in chunks
    #[arg(long, help_heading = "Body")]
    pub(crate) chunked: bool,

    /// Leave stdin alone
    #[arg(long, help_heading = "Body")]
    pub(crate) ignore_stdin: bool,

    /// What is printed on stdout: H and B are the request's head and body, h and b the response's, m what was measured
    /// [default: b]
    #[arg(long, short, value_name = "HhBbm", help_heading = "Output")]
    pub(crate) print: Option<String>,

    /// Print the head of the response alone
    #[arg(long, help_heading = "Output", conflicts_with_all = ["print", "body", "meta"])]
    pub(crate) headers: bool,

    /// Print the body of the response alone, as without it
    #[arg(long, short, help_heading = "Output", conflicts_with_all = ["print", "meta"])]
    pub(crate) body: bool,

    /// Print what was measured alone: status, times, bytes, the server's address
    #[arg(long, short, help_heading = "Output", conflicts_with = "print")]
    pub(crate) meta: bool,

    /// Show on a terminal what comes as it comes, unformatted
    #[arg(long, short = 'S', help_heading = "Output")]
    pub(crate) stream: bool,

    /// Leave the body compressed as it comes, and do not ask for that
    #[arg(long, help_heading = "Output")]
    pub(crate) no_decode: bool,

    /// Say how long each step took
    #[arg(long, help_heading = "Output")]
    pub(crate) timing: bool,

    /// Print the request, and send nothing
    #[arg(long, help_heading = "Output", conflicts_with = "curl")]
    pub(crate) offline: bool,

    /// Print a line that makes curl send the request, and send nothing
    #[arg(long, help_heading = "Output")]
    pub(crate) curl: bool,

    /// Show cookies, passwords and tokens with -v, --print, --offline and --curl
    #[arg(long, help_heading = "Output")]
    pub(crate) show_secrets: bool,

    /// Exit with 3, 4 or 5 when the status is 3xx, 4xx or 5xx
    #[arg(long, help_heading = "Output")]
    pub(crate) check_status: bool,

    /// Write the body to this file, with a progress bar on a terminal; - is stdout
    #[arg(long, short, value_name = "FILE", help_heading = "Download")]
    pub(crate) output: Option<PathBuf>,

    /// Write the body to a file with the name that the server or the URL gives it
    #[arg(long, short, help_heading = "Download", conflicts_with = "output")]
    pub(crate) download: bool,

    /// Go on with a file that is there in part
    #[arg(long = "continue", short = 'c', help_heading = "Download")]
    pub(crate) resume: bool,

    /// Keep the file only if it has this sum, as in sha256:0a1b…
    #[arg(long, value_name = "SUM", help_heading = "Download")]
    pub(crate) checksum: Option<String>,

    /// Follow redirects
    #[arg(long, short = 'F', help_heading = "Redirects, patience")]
    pub(crate) follow: bool,

    /// How many
    #[arg(long, value_name = "N", default_value_t = 30, help_heading = "Redirects, patience")]
    pub(crate) max_redirects: usize,

    /// Give up when nothing has moved for this long, or the response has not begun this long after the request
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time, help_heading = "Redirects, patience")]
    pub(crate) timeout: Duration,

    /// Give up after this long, whatever moves
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Redirects, patience")]
    pub(crate) max_time: Option<Duration>,

    /// Try again this many times, with growing pauses, after a failed connection or a 408, 429, 502, 503 or 504
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Redirects, patience")]
    pub(crate) retry: u32,

    /// Try again also what may then be done twice, as a POST
    #[arg(long, help_heading = "Redirects, patience")]
    pub(crate) retry_all: bool,

    /// Who we are; the password is not in here
    #[arg(long, short, value_name = "NAME", help_heading = "Who we are")]
    pub(crate) auth: Option<String>,

    /// How that is proven; auto waits until the server asks [default: basic]
    #[arg(long, short = 'A', value_name = "KIND", help_heading = "Who we are")]
    pub(crate) auth_type: Option<Login>,

    /// A file with name:password in it, or with a password or a token alone
    #[arg(long, value_name = "FILE", help_heading = "Who we are")]
    pub(crate) auth_file: Option<PathBuf>,

    /// Take name and password from ~/.netrc
    #[arg(long, help_heading = "Who we are", conflicts_with_all = ["auth", "auth_file"])]
    pub(crate) netrc: bool,

    /// Take name and password from this file
    #[arg(long, value_name = "FILE", help_heading = "Who we are", conflicts_with_all = ["auth", "auth_file", "netrc"])]
    pub(crate) netrc_file: Option<PathBuf>,

    /// Keep headers, who we are and cookies under this name, or in this file, for the next request
    #[arg(long, value_name = "NAME|FILE", help_heading = "Who we are")]
    pub(crate) session: Option<String>,

    /// Use what was kept, and change nothing of it
    #[arg(long, value_name = "NAME|FILE", help_heading = "Who we are", conflicts_with = "session")]
    pub(crate) session_read_only: Option<String>,

    /// Which HTTP: 1.1 or 2 (over http:// without asking) [default: what is agreed on]
    #[arg(long, value_name = "VERSION", help_heading = "Connection", value_parser = ["1.1", "2"])]
    pub(crate) http: Option<String>,

    /// Go through http://host:port, socks4a:// or socks5://host:port, or socks5h://, which resolves names there [default:
    /// the variables http_proxy, https_proxy, all_proxy and no_proxy]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,

    /// Go through no proxy
    #[arg(long, help_heading = "Connection", conflicts_with = "proxy")]
    pub(crate) no_proxy: bool,

    /// Speak to this unix socket
    #[arg(long, value_name = "PATH", help_heading = "Connection")]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Where a host is, instead of where the system says
    #[arg(long, value_name = "HOST:PORT:ADDRESS", help_heading = "Connection", value_parser = place)]
    pub(crate) resolve: Vec<(String, u16, IpAddr)>,

    /// Use IPv4 alone
    #[arg(long, short = '4', help_heading = "Connection", conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Use IPv6 alone
    #[arg(long, short = '6', help_heading = "Connection")]
    pub(crate) ipv6: bool,

    /// PEM file of our certificate, the same as #cert=
    #[arg(long, value_name = "FILE", help_heading = "Encryption")]
    pub(crate) cert: Option<String>,

    /// PEM file of our private key, the same as #key=
    #[arg(long, value_name = "FILE", help_heading = "Encryption", requires = "cert")]
    pub(crate) cert_key: Option<String>,

    /// PEM file of the authorities to trust, the same as #ca=
    #[arg(long, value_name = "FILE", help_heading = "Encryption")]
    pub(crate) ca: Option<String>,

    /// Trust only the certificate with this fingerprint, the same as #pin=
    #[arg(long, value_name = "sha256:…", help_heading = "Encryption")]
    pub(crate) pin: Option<String>,

    /// Trust whoever answers, the same as #insecure
    #[arg(long, help_heading = "Encryption")]
    pub(crate) insecure: bool,

    /// HTTPie's word: no trusts whoever answers, a file has the authorities to trust
    #[arg(long, value_name = "no|FILE", help_heading = "Encryption", conflicts_with_all = ["ca", "pin", "insecure"])]
    pub(crate) verify: Option<String>,
}

/// What a body may be compressed with.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Compress {
    Br,
    Deflate,
    Gzip,
    Zstd,
}

/// How it is proven who we are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Login {
    Auto,
    Basic,
    Bearer,
    Digest,
}

fn place(text: &str) -> Result<(String, u16, IpAddr), String> {
    let mut parts = text.splitn(3, ':');
    let place = (|| {
        let (host, port) = (parts.next()?, parts.next()?.parse().ok()?);
        let address = parts.next()?.trim_matches(['[', ']']).parse().ok()?;
        Some((host.to_owned(), port, address))
    })();
    place.ok_or_else(|| "a place is written like example.org:443:127.0.0.1".to_owned())
}
