//! What each line of the table does.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::{
    Toxiproxy, VERSION,
    answer::{Answer, Problem, json, nothing, typed},
    json::{Fields, read},
    metrics,
    proxy::{Proxy, Wanted},
    route::Names,
    toxic,
};

/// A request that has found its line.
pub(super) struct Call {
    pub(super) api: Arc<Toxiproxy>,
    pub(super) names: Names,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) async fn list_proxies(self) -> Answer {
        let all: BTreeMap<_, _> = self.api.all().into_iter().map(|proxy| (proxy.name().to_string(), proxy)).collect();
        let all: BTreeMap<_, &Proxy> = all.iter().map(|(name, proxy)| (name, &**proxy)).collect();
        Ok(json(StatusCode::OK, &all))
    }

    pub(super) async fn make_proxy(self) -> Answer {
        let (name, wanted) = wanted(&self.fields("a proxy")?, "")?;
        let proxy = self.api.make(&name, &wanted).await?;
        Ok(json(StatusCode::CREATED, &*proxy))
    }

    pub(super) async fn populate(self) -> Answer {
        let (made, problem) = match read(&self.body).and_then(list) {
            Ok(all) => self.api.populate(&all).await,
            Err(problem) => (Vec::new(), Some(problem)),
        };
        let status = problem.as_ref().map_or(StatusCode::CREATED, |problem| problem.status);
        let proxies: Vec<_> = made.iter().map(|proxy| &**proxy).collect();
        // Toxiproxy has null for none.
        let proxies = Some(proxies).filter(|proxies| !proxies.is_empty());
        Ok(json(status, &Populated { problem, proxies }))
    }

    pub(super) async fn show_proxy(self) -> Answer {
        Ok(json(StatusCode::OK, &*self.proxy()?))
    }

    pub(super) async fn change_proxy(self) -> Answer {
        let proxy = self.proxy()?;
        proxy.change(&self.fields("a proxy")?).await?;
        Ok(json(StatusCode::OK, &*proxy))
    }

    pub(super) async fn remove_proxy(self) -> Answer {
        let _turn = self.api.turn.lock().await;
        let proxy = self.proxy()?;
        proxy.stop().await;
        proxy.forget();
        self.api.proxies().remove(&self.names.proxy);
        Ok(nothing())
    }

    pub(super) async fn list_toxics(self) -> Answer {
        Ok(json(StatusCode::OK, &self.proxy()?.toxics()))
    }

    pub(super) async fn make_toxic(self) -> Answer {
        let toxic = self.proxy()?.add_toxic(&self.fields("a toxic")?)?;
        Ok(json(StatusCode::OK, &toxic))
    }

    pub(super) async fn show_toxic(self) -> Answer {
        Ok(json(StatusCode::OK, &self.proxy()?.toxic(&self.names.toxic)?))
    }

    pub(super) async fn change_toxic(self) -> Answer {
        let proxy = self.proxy()?;
        proxy.toxic(&self.names.toxic)?;
        let toxic = proxy.change_toxic(&self.names.toxic, &self.fields("a toxic")?)?;
        Ok(json(StatusCode::OK, &toxic))
    }

    pub(super) async fn remove_toxic(self) -> Answer {
        self.proxy()?.remove_toxic(&self.names.toxic)?;
        Ok(nothing())
    }

    pub(super) async fn reset(self) -> Answer {
        for proxy in self.api.all() {
            proxy.start().await?;
            proxy.clear_toxics();
        }
        Ok(nothing())
    }

    pub(super) async fn version(self) -> Answer {
        let body = format!("{{\"version\": \"{VERSION}\"}}\n");
        Ok(typed(StatusCode::OK, "application/json;charset=utf-8", body))
    }

    pub(super) async fn metrics(self) -> Answer {
        Ok(typed(StatusCode::OK, metrics::TYPE, metrics::page(&self.api.all())))
    }

    fn proxy(&self) -> Result<Arc<Proxy>, Problem> {
        self.api.proxy(&self.names.proxy)
    }

    fn fields(&self, what: &str) -> Result<Fields, Problem> {
        Fields::of(read(&self.body)?, what)
    }
}

/// What `/populate` answers.
#[derive(Serialize)]
struct Populated<'a> {
    #[serde(flatten)]
    problem: Option<Problem>,
    proxies: Option<Vec<&'a Proxy>>,
}

/// One of a list of proxies.
pub(super) struct Listed {
    name: String,
    wanted: Wanted,
    /// What only a configuration file may have.
    pub(super) toxics: Vec<Fields>,
}

/// A list of proxies, all of which are judged before any of them is made.
pub(super) fn list(value: Value) -> Result<Vec<Listed>, Problem> {
    let items = match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => return Err(super::json::wrong("the body", "a list of proxies", &other)),
    };
    let one = |(at, item)| {
        let fields = Fields::of(item, "a proxy")?;
        let (name, wanted) = wanted(&fields, &format!(" at proxy {}", at + 1))?;
        let toxics = fields.list("toxics")?.into_iter().map(toxic::fields).collect::<Result<_, _>>()?;
        Ok(Listed { name, wanted, toxics })
    };
    items.into_iter().enumerate().map(one).collect()
}

/// What a client wants of a new proxy; `at` says which of several it is.
fn wanted(fields: &Fields, at: &str) -> Result<(String, Wanted), Problem> {
    let text = |name| Ok::<_, Problem>(fields.text(name)?.unwrap_or_default());
    let (name, listen, upstream) = (text("name")?, text("listen")?, text("upstream")?);
    let enabled = fields.flag("enabled")?.unwrap_or(true);
    if name.is_empty() {
        return Err(Problem::missing(&format!("name{at}")));
    }
    if upstream.is_empty() {
        return Err(Problem::missing(&format!("upstream{at}")));
    }
    Ok((name, Wanted { listen, upstream, enabled }))
}

impl Toxiproxy {
    async fn make(&self, name: &str, wanted: &Wanted) -> Result<Arc<Proxy>, Problem> {
        let _turn = self.turn.lock().await;
        self.vacant(name)?;
        self.make_in_turn(name, wanted).await
    }

    async fn make_in_turn(&self, name: &str, wanted: &Wanted) -> Result<Arc<Proxy>, Problem> {
        let to = super::place::upstream(&wanted.upstream)?;
        let plan = (self.plan)(name.into(), vec![to]);
        let proxy = Arc::new(Proxy::new(self.scope.clone(), wanted, plan));
        if wanted.enabled {
            proxy.start().await?;
        }
        self.insert(proxy.clone());
        Ok(proxy)
    }

    /// Makes all of a list, up to the first that cannot be made; one that is there stays, unless it is wanted elsewhere.
    pub(super) async fn populate(&self, all: &[Listed]) -> (Vec<Arc<Proxy>>, Option<Problem>) {
        let _turn = self.turn.lock().await;
        let mut made = Vec::new();
        for listed in all {
            match self.make_or_replace(listed).await {
                Ok(proxy) => made.push(proxy),
                Err(problem) => return (made, Some(problem)),
            }
        }
        (made, None)
    }

    async fn make_or_replace(&self, listed: &Listed) -> Result<Arc<Proxy>, Problem> {
        let Listed { name, wanted, .. } = listed;
        let existing = self.proxies().get(name).cloned();
        match existing {
            Some(existing) if !existing.differs(wanted).await? => return Ok(existing),
            Some(existing) => existing.stop().await,
            None => self.vacant(name)?,
        }
        self.make_in_turn(name, wanted).await
    }
}
