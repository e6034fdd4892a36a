//! Bodies that become files: named by the server, gone on with where they ended, and renamed once they are whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{self, Context};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hullo::{Address, Error, Kind, Result, exchange::Body};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::names;
use crate::{args::Request, report::Voice};

/// A download that the words ask for.
pub(super) struct Download {
    /// Where it goes, where that is known before the response.
    named: Option<PathBuf>,
    /// The name that it has to who goes on with it, where none is said.
    again: Option<PathBuf>,
    /// Nothing is missing of it, whatever else is wrong.
    whole: bool,
    resumes: bool,
    sum: Option<Sum>,
}

/// A sum that the file must have.
struct Sum {
    algorithm: &'static digest::Algorithm,
    wanted: String,
}

/// What is there already.
struct Partial {
    length: u64,
    /// What the server said of the version that it is a part of.
    version: Option<String>,
}

impl Download {
    pub(super) fn of(args: &Request, to: &Address) -> Result<Option<Self>> {
        let output = args.output.clone().filter(|output| output != Path::new("-"));
        if !args.download && output.is_none() {
            return match (args.resume, &args.checksum) {
                (true, _) => Err(Error::usage("--continue has no file to go on with").hint("add -o FILE or -d")),
                (_, Some(_)) => Err(Error::usage("--checksum has no file to check").hint("add -o FILE or -d")),
                _ => Ok(None),
            };
        }
        let sum = args.checksum.as_deref().map(Sum::parse).transpose()?;
        // To go on, the name must be known before the server could say another.
        let named = output.or_else(|| args.resume.then(|| names::from_url(to)));
        let resumed = names::from_url(to);
        let again = if args.output.is_some() { None } else { Some(resumed) };
        Ok(Some(Self { named, again, whole: false, resumes: args.resume, sum }))
    }

    /// Says what of an unfinished download is kept, and how to go on with it.
    pub(super) fn tell_what_is_left(&self, voice: Voice) {
        let Some(path) = self.named.as_deref() else { return };
        let part = part_of(path);
        let Ok(length) = fs::metadata(&part).map(|file| file.len()) else { return };
        // With --continue the name is the URL's, and the server may have said another.
        let name = match &self.again {
            Some(again) if again != path => format!(" -o {}", path.display()),
            _ => String::new(),
        };
        let how =
            if self.whole { "remove it once you have looked at it".to_owned() } else { format!("go on with -c{name}") };
        let facts = json!({ "bytes": length, "file": part.display().to_string() });
        voice.say("left", &format!("{} has {length} bytes: {how}", part.display()), facts);
    }

    /// Asks for the rest where a part is there. `again` is for one that was cut off just now.
    pub(super) fn ask(&self, headers: &mut HeaderMap, again: bool) {
        let partial = self.named.as_deref().filter(|_| self.resumes || again).and_then(Partial::of);
        headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        let Some(partial) = partial.filter(|partial| partial.length > 0) else { return };
        headers.insert(
            header::RANGE,
            format!("bytes={}-", partial.length).parse().unwrap_or(HeaderValue::from_static("")),
        );
        if let Some(version) = partial.version.and_then(|version| HeaderValue::from_str(&version).ok()) {
            headers.insert(header::IF_RANGE, version);
        }
    }

    /// Streams the body to its file, which has its name once it is whole: what was cut off stays beside it as `.part`.
    pub(super) async fn take(
        &mut self,
        response: Response<Body>,
        from: &Address,
        ranged: bool,
        voice: Voice,
    ) -> Result<u64> {
        let path = match &self.named {
            Some(path) => path.clone(),
            None => names::unused(response.headers(), from),
        };
        self.named = Some(path.clone());
        // What is no file, as /dev/null, is written to as it is.
        if path.exists() && !path.is_file() {
            let mut file = File::create(&path).map_err(|error| unwritten(&path, error))?;
            return copy(response, &mut file, &path, 0, voice).await;
        }
        let part = part_of(&path);
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT if ranged => self.goes_on(&response, &path, from)?,
            StatusCode::PARTIAL_CONTENT => {
                let about = format!("{} sent a part, and the whole was asked for", from.bare());
                return Err(Error::new(Kind::Protocol, about));
            }
            StatusCode::RANGE_NOT_SATISFIABLE if ranged => {
                let held = Partial::of(&path).map_or(0, |partial| partial.length);
                // Nothing comes after it: if it is as long as the whole, it is the whole.
                if range(response.headers()).is_none_or(|(_, total)| total != Some(held)) {
                    return Err(Error::new(
                        Kind::Protocol,
                        format!("{} is shorter there than {} is here", from.bare(), path.display()),
                    )
                    .hint("without --continue it is fetched anew"));
                }
                return self.keep(&path, held, 0, voice);
            }
            _ => 0,
        };
        let mut file = OpenOptions::new().write(true).create(true).append(start > 0).truncate(start == 0).open(&part);
        let file =
            file.as_mut().map_err(|error| unwritten(&part, std::mem::replace(error, io::ErrorKind::Other.into())))?;
        Partial::remember(&path, response.headers());
        let came = copy(response, file, &part, start, voice).await?;
        self.keep(&path, start + came, came, voice)
    }

    /// Where the part of the response goes on, which must be where ours ends.
    fn goes_on(&self, response: &Response<Body>, path: &Path, from: &Address) -> Result<u64> {
        let held = Partial::of(path).map_or(0, |partial| partial.length);
        match range(response.headers()) {
            Some((Some(start), _)) if start == held => {}
            _ => {
                return Err(Error::new(
                    Kind::Protocol,
                    format!("{} sent another part than was asked for", from.bare()),
                )
                .hint("without --continue it is fetched whole"));
            }
        }
        let part = part_of(path);
        if !part.exists() {
            // What another program began has the whole file's name.
            fs::rename(path, &part).map_err(|error| unwritten(&part, error))?;
        }
        Ok(held)
    }

    /// Gives the file its name, if it is what it should be.
    fn keep(&mut self, path: &Path, length: u64, came: u64, voice: Voice) -> Result<u64> {
        let part = part_of(path);
        let held = if part.exists() { &part } else { path };
        self.whole = true;
        if let Some(sum) = &self.sum {
            sum.check(held)?;
        }
        if part.exists() {
            fs::rename(&part, path).map_err(|error| unwritten(path, error))?;
        }
        Partial::forget(path);
        let facts = json!({ "bytes": length, "file": path.display().to_string(), "received": came });
        voice.say("downloaded", &format!("{length} bytes written to {}", path.display()), facts);
        Ok(came)
    }
}

impl Partial {
    /// What is there of a file: its `.part`, or else what another program left under its name.
    fn of(path: &Path) -> Option<Self> {
        let part = part_of(path);
        let length = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
        match length(&part) {
            Some(length) => Some(Self { length, version: fs::read_to_string(version_of(path)).ok() }),
            None => Some(Self { length: length(path)?, version: None }),
        }
    }

    /// Keeps which version the part is of, so that the rest of another one is not put behind it. Only a strong one will do
    /// (RFC 9110, section 13.1.5).
    fn remember(path: &Path, headers: &HeaderMap) {
        let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.starts_with("W/"));
        let date = headers.get(header::LAST_MODIFIED).and_then(|date| date.to_str().ok());
        // Without it the rest is asked for all the same, and its place and length are checked.
        let _ = match tag.or(date) {
            Some(version) => fs::write(version_of(path), version),
            None => fs::remove_file(version_of(path)),
        };
    }

    fn forget(path: &Path) {
        // It may never have been there.
        let _ = fs::remove_file(version_of(path));
    }
}

/// Where a file lies while it is not whole.
pub(super) fn part_of(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

fn version_of(path: &Path) -> PathBuf {
    path.with_added_extension("part-of")
}

impl Sum {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::usage("--checksum takes sha256: or sha512: and the sum in hex");
        let (name, wanted) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm = match name {
            "sha256" => &digest::SHA256,
            "sha512" => &digest::SHA512,
            _ => return Err(wrong()),
        };
        let hex = wanted.len() == 2 * algorithm.output_len() && wanted.bytes().all(|c| c.is_ascii_hexdigit());
        if hex { Ok(Self { algorithm, wanted: wanted.to_ascii_lowercase() }) } else { Err(wrong()) }
    }

    fn check(&self, path: &Path) -> Result<()> {
        let about = || format!("cannot check {}", path.display());
        let read = |error| Error::io(about(), error).of(Kind::File);
        let mut file = File::open(path).map_err(read)?;
        let (mut context, mut piece) = (Context::new(self.algorithm), vec![0; 1 << 20]);
        loop {
            match file.read(&mut piece).map_err(read)? {
                0 => break,
                n => context.update(&piece[..n]),
            }
        }
        let sum: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if sum == self.wanted {
            return Ok(());
        }
        Err(Error::new(Kind::Cut, format!("{} is not what it should be: its sum is {sum}", path.display()))
            .hint("it was changed on the way, or it is another version"))
    }
}

/// The first byte of a part, and how many the whole has, as `Content-Range` says.
fn range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (part, total) = text.strip_prefix("bytes")?.trim().split_once('/')?;
    Some((part.split_once('-').and_then(|(start, _)| start.trim().parse().ok()), total.trim().parse().ok()))
}

/// Writes a body to a file, behind the `start` bytes that are there. Returns how many came.
async fn copy(response: Response<Body>, file: &mut File, path: &Path, start: u64, voice: Voice) -> Result<u64> {
    let total = range(response.headers()).and_then(|(_, total)| total).filter(|_| start > 0);
    let size = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let coded = response.headers().contains_key(header::CONTENT_ENCODING);
    let bar = progress(size.filter(|_| !coded).map(|size: u64| start + size), start, voice);
    let (mut body, mut came) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        file.write_all(&data).map_err(|error| unwritten(path, error))?;
        came += data.len() as u64;
        bar.inc(data.len() as u64);
    }
    bar.finish_and_clear();
    if total.is_some_and(|total| total != start + came) {
        let about = format!(
            "{} has {} bytes, and not the {} that were promised",
            path.display(),
            start + came,
            total.unwrap_or(0)
        );
        return Err(Error::new(Kind::Cut, about));
    }
    Ok(came)
}

fn unwritten(path: &Path, error: io::Error) -> Error {
    Error::io(format!("cannot write {}", path.display()), error).of(Kind::File)
}

fn progress(size: Option<u64>, start: u64, voice: Voice) -> ProgressBar {
    if voice.json {
        return ProgressBar::hidden();
    }
    let (bar, style) = match size {
        Some(size) => (ProgressBar::new(size), "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {bytes_per_sec}"),
    };
    let bar = bar.with_position(start);
    bar.reset_eta();
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, wanted) in [
            ("bytes 5-9/10", Some((Some(5), Some(10)))),
            ("bytes 5-9/*", Some((Some(5), None))),
            ("bytes */10", Some((None, Some(10)))),
            ("lines 1-2/3", None),
            ("bytes", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, HeaderValue::from_static(text));
            assert_eq!(range(&headers), wanted, "{text}");
        }
    }
}
