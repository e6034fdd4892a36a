//! The HTTP client: one request, its redirects, and the response as it comes.
//!
//! ```
//! use hullo::{Address, Scope, exchange, request::{Call, Client}};
//! use http::Method;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hullo::Result<()> {
//! let server = hullo::serve("http://127.0.0.1:0", hullo::service::echo::Echo).await?;
//! let mut call = Call::new(Method::POST, server.address().clone());
//! call.body = Box::new(|| Ok(exchange::full("hullo")));
//! let client = Client { redirects: 10, decode: true, ..Client::default() };
//! let (response, _from) = client.send(call, &Scope::default()).await?;
//! assert_eq!(exchange::collect(response.into_body(), 1 << 20).await?, "hullo");
//! # Ok(())
//! # }
//! ```

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, RANGE, USER_AGENT},
};
use hyper::body::Body as _;
use tokio::{io::AsyncWrite, time::sleep};

use self::{auth::Challenges, redirect::same_origin};
pub use self::{
    auth::{Auth, Scheme},
    cookies::Jar,
    proxies::Proxies,
    retry::Retry,
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{
        codings,
        exchange::{Body, empty},
    },
    options::{End, Options},
    scope::Scope,
    transport::{self, http as over_http},
};
pub use crate::{
    io::codings::{ACCEPTED, Coding, encoded},
    proxy::Proxy,
    transport::http::Way,
};

mod auth;
mod cookies;
mod digest;
mod proxies;
mod redirect;
mod retry;

/// A request that can be sent again, as a redirect asks for.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The URL.
    pub to: Address,
    /// The headers, to begin with `Accept` and `User-Agent`; `Host` is added where it is missing.
    pub headers: HeaderMap,
    /// Makes the body, for each time that it is sent.
    pub body: Box<dyn Fn() -> Result<Body> + Send + Sync>,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, to: Address) -> Self {
        Self { method, to, headers: defaults(), body: Box::new(|| Ok(empty())) }
    }

    /// Sends it in the plainest way. `redirects` is how many redirects are followed; the response of the last one is
    /// returned, with the URL that it came from.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send(self, scope: &Scope, redirects: usize) -> Result<(Response<Body>, Address)> {
        Client { redirects, ..Client::default() }.send(self, scope).await
    }
}

/// How requests are sent: by which way, as whom, and what is done about redirects, failures and codings.
#[derive(Default)]
pub struct Client {
    /// How many redirects are followed.
    pub redirects: usize,
    /// How the server is reached.
    pub way: Way,
    /// Options of every address on the way, where they mean something and it does not say otherwise. The certificate is
    /// for the host of the request alone.
    pub options: Options,
    /// Whom to go through to which server.
    pub proxies: Proxies,
    /// Who we are to the host of the request; no other host that it leads to is told.
    pub auth: Option<Auth>,
    /// The cookies, which are sent and taken.
    pub jar: Option<Jar>,
    /// What is tried again.
    pub retry: Retry,
    /// Whether to ask for compressed bodies, and to hand them out as they were before.
    pub decode: bool,
    /// How long the head of a response may take once its request is sent.
    pub patience: Option<Duration>,
    /// Who is told of each step.
    pub teller: Option<Teller>,
}

/// Somebody who is told of the steps of a request.
pub type Teller = Arc<dyn Fn(&Step<'_>) + Send + Sync>;

/// A step on the way to the last response.
#[non_exhaustive]
pub enum Step<'a> {
    /// This is sent.
    Asked {
        /// The head, whose URI is the whole URL.
        head: &'a Request<()>,
        /// How many bytes the body has, where that is known.
        length: Option<u64>,
    },
    /// An interim response, as 103 is one.
    Interim {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: &'a HeaderMap,
    },
    /// The head of a response came.
    Answered(&'a Response<Body>),
    /// It is tried again.
    Again {
        /// What went wrong.
        why: &'a str,
        /// How long is waited before.
        after: Duration,
    },
}

impl Client {
    /// Sends it, and does what the responses ask for. The last response is returned, with the URL that it came from.
    ///
    /// # Errors
    /// The connection's, a response that is not HTTP, or too many redirects.
    pub async fn send(&self, mut call: Call, scope: &Scope) -> Result<(Response<Body>, Address)> {
        let home = call.to.clone();
        let mut challenges = Challenges::default();
        let mut left = self.redirects;
        loop {
            let at_home = same_origin(&home, &call.to);
            let auth = self.auth.as_ref().filter(|_| at_home && !call.headers.contains_key(AUTHORIZATION));
            self.add_options(&mut call.to, at_home)?;
            let response = self.try_again(&call, auth, &mut challenges, scope).await?;
            if let Some(auth) = auth
                && challenges.take(auth, &response)
            {
                continue;
            }
            let Some(next) = redirect::target(&response, &call.to).filter(|_| self.redirects > 0) else {
                return Ok((self.decoded(response, &call)?, call.to));
            };
            if left == 0 {
                let about = format!("{} redirects more than {} times", call.to.bare(), self.redirects);
                return Err(Error::new(Kind::Protocol, about));
            }
            left -= 1;
            call.redirect(response.status(), next?);
        }
    }

    /// Writes it to `out` byte for byte as it would leave over HTTP/1.1, and sends nothing.
    ///
    /// # Errors
    /// A request that cannot be sent, or what goes wrong in writing.
    pub async fn write(&self, call: &Call, out: impl AsyncWrite + Send + Unpin + 'static) -> Result<()> {
        let auth = self.auth.as_ref().filter(|_| !call.headers.contains_key(AUTHORIZATION));
        let request = self.request(call, auth, &mut Challenges::default()).await?;
        over_http::write(&call.to, request, &self.way, out).await
    }

    fn add_options(&self, to: &mut Address, at_home: bool) -> Result<()> {
        let mut options = self.options.clone();
        options.keep(&to.scheme);
        let own = to.options.clone();
        for (name, value) in options.iter() {
            if own.text(name).is_none() && (at_home || !PERSONAL.contains(&name)) {
                to.options.set(name, value)?;
            }
        }
        Ok(())
    }

    /// The response, or that of a later attempt where this one is worth another.
    async fn try_again(
        &self,
        call: &Call,
        auth: Option<&Auth>,
        challenges: &mut Challenges,
        scope: &Scope,
    ) -> Result<Response<Body>> {
        let mut failed = 0;
        loop {
            let request = self.request(call, auth, challenges).await?;
            let outcome = self.once(call, request, scope).await;
            let pause = self.retry.pause(&call.method, &outcome, failed);
            // A body that there is only once cannot be sent again: what came of it the first time is what there is.
            let Some(after) = pause.filter(|_| (call.body)().is_ok()) else { return outcome };
            let why = match &outcome {
                Ok(response) => format!("{} answered {}", call.to.bare(), response.status()),
                Err(error) => error.to_string(),
            };
            self.tell(&Step::Again { why: &why, after });
            drop(outcome);
            sleep(after).await;
            failed += 1;
        }
    }

    /// The request as it is sent this time.
    async fn request(&self, call: &Call, auth: Option<&Auth>, challenges: &mut Challenges) -> Result<Request<Body>> {
        transport::find(&call.to, End::Connect)?;
        let mut request = request(&call.to, call.method.clone(), call.headers.clone(), (call.body)()?)?;
        if let Some(auth) = auth
            && let Some(value) = challenges.answer(auth, call).await?
        {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(cookies) = self.jar.as_ref().and_then(|jar| jar.header(&call.to)) {
            let said = request.headers().get(COOKIE).map(HeaderValue::as_bytes);
            let all = said.map_or(cookies.clone().into_bytes(), |said| [said, b"; ", cookies.as_bytes()].concat());
            if let Ok(all) = HeaderValue::from_bytes(&all) {
                request.headers_mut().insert(COOKIE, all);
            }
        }
        // A part of a file is a part of its bytes as they are.
        if self.decode && !request.headers().contains_key(RANGE) {
            request.headers_mut().entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static(ACCEPTED));
        }
        Ok(request)
    }

    /// One request and its response.
    async fn once(&self, call: &Call, mut request: Request<Body>, scope: &Scope) -> Result<Response<Body>> {
        if let Some(teller) = self.teller.clone() {
            let (parts, body) = request.into_parts();
            let head = Request::from_parts(parts, ());
            teller(&Step::Asked { head: &head, length: body.size_hint().exact() });
            request = head.map(|()| body);
            hyper::ext::on_informational(&mut request, move |response| {
                teller(&Step::Interim { status: response.status(), headers: response.headers() });
            });
        }
        let scope = scope.under(&call.to.options)?;
        let way = Way { proxy: self.proxies.of(&call.to).cloned(), ..self.way.clone() };
        let (response, _) = over_http::exchange(&call.to, request, &way, self.patience, &scope).await?;
        if let Some(jar) = &self.jar {
            jar.take(&call.to, response.headers());
        }
        self.tell(&Step::Answered(&response));
        Ok(response)
    }

    fn decoded(&self, response: Response<Body>, call: &Call) -> Result<Response<Body>> {
        let codings = codings::listed(response.headers(), CONTENT_ENCODING);
        // Parts of a coded body are not decoded by themselves.
        if !self.decode || codings.is_empty() || response.status() == StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
        let about = format!("the response of {} cannot be decoded", call.to.bare());
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, codings::decoded(body, codings, &about)?))
    }

    fn tell(&self, step: &Step<'_>) {
        if let Some(teller) = &self.teller {
            teller(step);
        }
    }
}

/// The options that prove who we are, or whom we meant: they are not for another host.
const PERSONAL: &[&str] = &["cert", "key", "sni"];

/// Whether a header's value proves who somebody is: it is not shown, and not sent to another host.
pub fn is_secret(name: &HeaderName) -> bool {
    let name = name.as_str();
    let words = ["auth", "token", "secret", "key", "password"];
    matches!(name, "cookie" | "set-cookie") || words.iter().any(|word| name.contains(word))
}

/// What every request says of itself unless told otherwise.
pub(crate) fn defaults() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hullo/", env!("CARGO_PKG_VERSION"))));
    headers
}

/// One request and its response, without anything else.
pub(crate) async fn exchange(
    to: &Address,
    method: Method,
    headers: HeaderMap,
    body: Body,
    scope: &Scope,
) -> Result<Response<Body>> {
    transport::find(to, End::Connect)?;
    let scope = scope.under(&to.options)?;
    let to = &to.on_a_host();
    let request = request(to, method, headers, body)?;
    let (response, _) = over_http::exchange(to, request, &Way::default(), None, &scope).await?;
    Ok(response)
}

fn request(to: &Address, method: Method, headers: HeaderMap, body: Body) -> Result<Request<Body>> {
    if !matches!(to.scheme.as_str(), "http" | "https") {
        return Err(Error::usage(format!("{} is not http or https", to.bare()))
            .hint("for other transports there are ask and connect"));
    }
    let to = &to.on_a_host();
    let uri: Uri = format!("{}://{}{}", to.scheme, to.authority(), to.target())
        .parse()
        .map_err(|error| Error::usage(format!("{} is no URL", to.bare())).because(error as http::uri::InvalidUri))?;
    let said = headers.get(CONTENT_LENGTH).map(|said| said.to_str().ok().and_then(|said| said.parse::<u64>().ok()));
    if let (Some(said), Some(length)) = (said, body.size_hint().exact())
        && said != Some(length)
    {
        // A server would wait for what does not come, or take what is left over for another request.
        let about = format!("the header Content-Length is not the {length} bytes that the body has");
        return Err(Error::usage(about).hint("leave the header out: it is added"));
    }
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Ok(request)
}
