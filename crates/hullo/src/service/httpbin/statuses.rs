//! Statuses: any, one of several by chance, and those before the answer.

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, LINK, LOCATION, PROXY_AUTHENTICATE, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::{
    answer::{Answer, With, bare, json, value, words},
    call::Call,
    inspect,
    random::Random,
};
use crate::{
    error::{Error, Result},
    io::exchange::Body,
};

const TEAPOT: &str = "
    -=[ teapot ]=-

        .-\"-.
    ___/=====\\___
   (  _       _  )__
    \\ \\       / /  _)
     \\_\\_____/_/__/
       '-----'
";

const MORE: HeaderName = HeaderName::from_static("x-more-info");

pub(super) async fn status(call: Call) -> Answer {
    let choices = choices(call.part(0))?;
    let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let drawn = Random::seeded(None)?.share() * total;
    let code = pick(&choices, drawn);
    if !code.is_informational() {
        return Ok(answer(code));
    }
    if code == StatusCode::SWITCHING_PROTOCOLS {
        let error = Error::usage("101 switches to another protocol, and the request asks for none");
        return Err(error.hint("open a WebSocket at /websocket/echo"));
    }
    inform(&call, code, []).await?;
    Ok(answer(StatusCode::OK))
}

/// `200`, or `200:0.9,500:0.1`. The weights need not sum up to 1.
fn choices(text: &str) -> Result<Vec<(StatusCode, f64)>> {
    let choice = |one: &str| {
        let (code, weight) = one.split_once(':').unwrap_or((one, "1"));
        let code = code.trim().parse().ok().and_then(|code| StatusCode::from_u16(code).ok())?;
        let weight = weight.trim().parse().ok().filter(|weight: &f64| weight.is_finite() && *weight >= 0.0)?;
        Some((code, weight))
    };
    let all: Option<Vec<_>> = text.split(',').map(choice).collect();
    let about =
        || Error::usage(format!("Invalid status code: '{text}' is not like 200 or 200:0.9,500:0.1, from 100 to 999"));
    all.ok_or_else(about)
}

/// The choice where the sum of the weights so far exceeds what was drawn.
fn pick(choices: &[(StatusCode, f64)], drawn: f64) -> StatusCode {
    let mut sum = 0.0;
    let over = choices.iter().find(|(_, weight)| {
        sum += weight;
        drawn < sum
    });
    over.or(choices.last()).map_or(StatusCode::OK, |(code, _)| *code)
}

/// That status, with what httpbin says along with some.
pub(super) fn answer(code: StatusCode) -> Response<Body> {
    const FAKE: HeaderValue = HeaderValue::from_static("Basic realm=\"Fake Realm\"");
    let more = |text: &'static str, about| words(code, text).with(MORE, HeaderValue::from_static(about));
    match code.as_u16() {
        301..=303 | 305 | 307 | 308 => bare(code).with(LOCATION, HeaderValue::from_static("/redirect/1")),
        401 => bare(code).with(WWW_AUTHENTICATE, FAKE),
        402 => more("This has its price.\n", "http://vimeo.com/22053820"),
        406 => {
            let accept = ["image/webp", "image/svg+xml", "image/jpeg", "image/png", "image/*"];
            json(json!({ "message": "Client did not request a supported media type.", "accept": accept })).of(code)
        }
        407 => bare(code).with(PROXY_AUTHENTICATE, FAKE),
        418 => more(TEAPOT, "http://tools.ietf.org/html/rfc2324"),
        204 | 304 => bare(code),
        _ => bare(code).with(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    }
}

pub(super) async fn unstable(call: Call) -> Answer {
    let rate = match call.arg("failure_rate") {
        None => 0.5,
        Some(text) => {
            let rate = text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
            rate.ok_or_else(|| Error::usage(format!("failure_rate={text} is not a number from 0 to 1")))?
        }
    };
    let fails = Random::seeded(call.arg("seed"))?.share() < rate;
    Ok(words(if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, ""))
}

pub(super) async fn early_hints(call: Call) -> Answer {
    let mut links = Vec::new();
    for (_, link) in call.args.iter().filter(|(name, _)| name == "link") {
        links.push(value(link)?);
    }
    if links.is_empty() {
        links.push(HeaderValue::from_static("</image/svg>; rel=preload; as=image"));
    }
    inform(&call, StatusCode::EARLY_HINTS, links.clone()).await?;
    let told = inspect::told(call).await?;
    // A hint is only a hint: the answer repeats it (RFC 8297, section 2).
    Ok(links.into_iter().fold(told, |told, link| told.and(LINK, link)))
}

/// Sends a response of 1xx before the answer, where the client understands it.
async fn inform(call: &Call, code: StatusCode, links: impl IntoIterator<Item = HeaderValue>) -> Result<()> {
    let Some(interim) = &call.interim else { return Ok(()) };
    let mut head = Response::new(());
    *head.status_mut() = code;
    for link in links {
        head.headers_mut().append(LINK, link);
    }
    interim.send(head).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares() {
        let both = choices("200:3,500:1").unwrap();
        for (drawn, code) in [(0.0, 200), (2.9, 200), (3.0, 500), (3.9, 500), (4.0, 500)] {
            assert_eq!(pick(&both, drawn).as_u16(), code, "{drawn}");
        }
        let never = choices("500:0,200").unwrap();
        assert_eq!(pick(&never, 0.0).as_u16(), 200);
        for wrong in ["", "abc", "200,", "200:x", "200:-1", "99", "1000", "200:NaN", "200:inf", "200:1:2"] {
            assert!(choices(wrong).is_err(), "{wrong}");
        }
    }
}
