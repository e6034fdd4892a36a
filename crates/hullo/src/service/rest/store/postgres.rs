//! Items in PostgreSQL, which several machines may share: `hullo serve rest http://:8000 --db postgres://user@host/name`.
//!
//! Each machine has one connection that writes, and a few that read. Writers take their turns at the row that counts
//! changes, so that the numbers of changes are in the order in which they can be seen; what waits is written together,
//! so that a turn costs little. Other machines hear of changes by `NOTIFY`.
//!
//! The connections are without TLS: a unix socket, this machine, or a network of one's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use futures_util::{TryStreamExt, future::poll_fn};
use http::StatusCode;
use tokio::{
    runtime::{Builder, Handle},
    sync::{Mutex, mpsc, oneshot},
};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Row, RowStream,
    config::SslMode,
    types::{ToSql, Type},
};

use super::{
    super::{
        edit::{Edit, Outcome},
        item::{Item, SCHEMAS},
        problem::{Answer, Problem},
        query::{Cursor, Listing, Path, Position, Word},
    },
    COLLECTIONS, Change, Changes, Hub, Job, Page, QUEUE, REMEMBERED, Room, Store, queued,
    select::{self, Bind, Binds, Dialect, Field, Statement},
};
use crate::{
    error::{Error, Kind, Result},
    scope::{BoxFuture, Limits},
};

mod writer;

/// Connections that read.
const READERS: usize = 4;

/// What every connection is told first. Our tables have a schema of their own, and no statement runs for ever.
const GREETING: &str = "
    SET search_path = hullo_rest, pg_catalog;
    SET statement_timeout = '30s';
    SET synchronous_commit = on;
    SET client_min_messages = warning;
";

type Done<T> = std::result::Result<T, tokio_postgres::Error>;

/// Items in one database of PostgreSQL.
pub(crate) struct Postgres {
    readers: [Mutex<Option<Arc<Client>>>; READERS],
    turn: AtomicUsize,
    connector: Connector,
    hub: Arc<Hub>,
    queue: mpsc::Sender<Job>,
    /// Dropped with this, which ends the thread of the connections.
    _end: oneshot::Sender<()>,
}

/// Opens the database, and says where that is without what is secret.
pub(crate) fn open(url: &str, password: Option<&str>) -> Result<(Arc<dyn Store>, String)> {
    let about = || "cannot keep items in PostgreSQL".to_owned();
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        Error::usage(about()).because(error).hint("a database is named like postgres://user@host/name")
    })?;
    if config.get_password().is_some() {
        let why = "the password stands in the address, where everybody on this machine can read it";
        return Err(Error::usage(about()).because(why).hint("put it into the environment: PGPASSWORD"));
    }
    if config.get_ssl_mode() == SslMode::Require {
        return Err(Error::usage(about()).because("it is to be reached by TLS, which is not possible here"));
    }
    if let Some(password) = password {
        config.password(password);
    }
    if config.get_application_name().is_none() {
        config.application_name("hullo");
    }
    config.connect_timeout(Limits::default().timeout);
    let place = format!("PostgreSQL, database {}", config.get_dbname().or(config.get_user()).unwrap_or("of that user"));
    Ok((Arc::new(Postgres::new(config)?), place))
}

impl Postgres {
    /// Connects on a thread of its own, where the connections then live: whoever asks may be on any core.
    fn new(config: Config) -> Result<Self> {
        let about = "cannot keep items in PostgreSQL";
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| Error::io(about, error))?;
        let hub = Arc::new(Hub::default());
        let connector = Connector { config, hub: hub.clone(), runtime: runtime.handle().clone() };
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let writer = writer::Writer::new(connector.clone());
        let work = move || {
            runtime.block_on(async {
                let begun = writer.begin().await;
                let good = begun.is_ok();
                let begun = begun.map(|writer| tokio::task::spawn(writer.run(jobs)));
                // Whoever opens waits for this.
                let _ = tell.send(begun.map(drop));
                if good {
                    // It is never sent: the end is that nobody can send it any more.
                    let _ = ended.await;
                }
            });
        };
        thread::Builder::new().name("rest postgres".to_owned()).spawn(work).map_err(|error| Error::io(about, error))?;
        let failed = |problem: Problem| {
            let kind = if problem.status == StatusCode::SERVICE_UNAVAILABLE { Kind::Refused } else { Kind::Usage };
            let hint = "is it running, and does it know the user? The password is read from PGPASSWORD";
            Error::new(kind, about).because(problem.detail).hint(hint)
        };
        told.recv().map_err(|_| Error::new(Kind::Other, about))?.map_err(failed)?;
        let readers = std::array::from_fn(|_| Mutex::default());
        Ok(Self { readers, turn: AtomicUsize::new(0), connector, hub, queue, _end: end })
    }

    /// A connection that reads: they take turns, and one that was lost is made anew.
    async fn reader(&self) -> Answer<Arc<Client>> {
        let mut reader = self.readers[self.turn.fetch_add(1, Relaxed) % READERS].lock().await;
        if let Some(client) = reader.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.connector.connect().await?);
        *reader = Some(client.clone());
        Ok(client)
    }

    /// Rows as they come, for those that may be large.
    async fn stream(&self, sql: &str, binds: &[Bind]) -> Answer<RowStream> {
        let client = self.reader().await?;
        client.query_typed_raw(sql, typed(binds)).await.map_err(|error| failed(&error))
    }

    async fn rows(&self, sql: &str, binds: &[Bind]) -> Answer<Vec<Row>> {
        let client = self.reader().await?;
        client.query_typed(sql, &typed(binds)).await.map_err(|error| failed(&error))
    }
}

/// Makes connections, all in the runtime of the database's own thread.
#[derive(Clone)]
struct Connector {
    config: Config,
    hub: Arc<Hub>,
    runtime: Handle,
}

impl Connector {
    async fn connect(&self) -> Answer<Client> {
        let this = self.clone();
        let (tell, told) = oneshot::channel();
        self.runtime.spawn(async move {
            let mut connection = match this.config.connect(NoTls).await {
                Ok((client, connection)) => {
                    // If nobody waits for it any more it is dropped, and the connection ends.
                    let _ = tell.send(Ok(client));
                    connection
                }
                Err(error) => return drop(tell.send(Err(error))),
            };
            // Until the client is dropped or the server goes. A notification names the collection that has changed.
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    this.hub.tell([notification.payload()]);
                }
            }
        });
        let client = told.await.map_err(Problem::of_store)?.map_err(|error| failed(&error))?;
        client.batch_execute(GREETING).await.map_err(|error| failed(&error))?;
        Ok(client)
    }
}

impl Store for Postgres {
    fn item<'a>(&'a self, collection: &'a str, id: &'a str) -> BoxFuture<'a, Answer<Option<Item>>> {
        Box::pin(async move {
            let sql = "SELECT seq, id, body, revision, modified FROM items WHERE collection = $1 AND id = $2";
            let rows = self.rows(sql, &[Bind::Text(collection.to_owned()), Bind::Text(id.to_owned())]).await?;
            Ok(rows.first().map(|row| placed(row).1))
        })
    }

    fn list(&self, listing: Listing) -> BoxFuture<'_, Answer<Page>> {
        Box::pin(async move {
            let Statement { sql, binds } = select::page::<Pg>(&listing);
            let mut rows = std::pin::pin!(self.stream(&sql, &binds).await?);
            let (mut items, mut last, mut room, mut next) = (Vec::new(), None, Room::new(), None);
            let mut full = false;
            while let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
                if full {
                    next = last;
                    break;
                }
                let (place, item) = placed(&row);
                let keys = (0..listing.sort.len()).map(|key| position(&row, 5 + key * 3)).collect();
                last = Some(Cursor { keys, place });
                full = !room.after(&item.body) || items.len() + 1 == listing.limit;
                items.push(item);
            }
            let count = match listing.count {
                false => None,
                true => {
                    let Statement { sql, binds } = select::count::<Pg>(&listing);
                    self.rows(&sql, &binds).await?.first().map(|row| row.get(0))
                }
            };
            Ok(Page { items, next, count })
        })
    }

    fn collections(&self) -> BoxFuture<'_, Answer<Vec<(String, i64)>>> {
        Box::pin(async move {
            let sql = "SELECT collection, count(*) FROM items WHERE collection <> $1 GROUP BY collection ORDER BY collection LIMIT $2";
            let rows = self.rows(sql, &[Bind::Text(SCHEMAS.to_owned()), Bind::Integer(COLLECTIONS)]).await?;
            Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
        })
    }

    fn revision<'a>(&'a self, collection: &'a str) -> BoxFuture<'a, Answer<i64>> {
        Box::pin(async move {
            let sql = "SELECT greatest((SELECT max(revision) FROM items WHERE collection = $1),
                (SELECT max(revision) FROM gone WHERE collection = $1), 0)";
            let rows = self.rows(sql, &[Bind::Text(collection.to_owned())]).await?;
            Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
        })
    }

    fn changes<'a>(&'a self, collection: &'a str, after: i64, most: usize) -> BoxFuture<'a, Answer<Changes>> {
        Box::pin(async move {
            // One statement sees one moment. It has a row where there is no change, too.
            let sql = "SELECT now.revision, changes.* FROM counter AS now LEFT JOIN LATERAL (
                    SELECT revision, id, body FROM items WHERE collection = $1 AND revision > $2
                    UNION ALL SELECT revision, id, NULL FROM gone WHERE collection = $1 AND revision > $2
                    ORDER BY 1 LIMIT $3
                ) AS changes ON true ORDER BY 2";
            let most = Bind::Integer(i64::try_from(most).unwrap_or(i64::MAX));
            let binds = [Bind::Text(collection.to_owned()), Bind::Integer(after), most];
            let mut rows = std::pin::pin!(self.stream(sql, &binds).await?);
            let (mut found, mut room, mut more) = (Changes::default(), Room::new(), true);
            while more && let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
                let (now, revision): (i64, Option<i64>) = (row.get(0), row.get(1));
                found.forgotten = after > 0 && after < now - REMEMBERED;
                let Some(revision) = revision else { break };
                let change = Change { revision, id: row.get(2), body: row.get(3) };
                more = room.after(change.body.as_deref().unwrap_or_default());
                found.changes.push(change);
            }
            Ok(found)
        })
    }

    fn edit(&self, edits: Vec<Edit>) -> BoxFuture<'_, Answer<Vec<Outcome>>> {
        Box::pin(queued(&self.queue, edits))
    }

    fn hub(&self) -> &Hub {
        &self.hub
    }
}

fn placed(row: &Row) -> (i64, Item) {
    (row.get(0), Item { id: row.get(1), body: row.get(2), revision: row.get(3), modified: row.get(4) })
}

fn position(row: &Row, at: usize) -> Position {
    Position { rank: row.get(at), number: row.get(at + 1), text: row.get(at + 2) }
}

/// The parameters with their types, so that a statement needs no round trip to be prepared.
fn typed(binds: &[Bind]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    binds.iter().map(bound).collect()
}

fn bound(bind: &Bind) -> (&(dyn ToSql + Sync), Type) {
    match bind {
        Bind::Text(text) | Bind::Number(text) => (text, Type::TEXT),
        Bind::Integer(number) => (number, Type::INT8),
    }
}

/// What the database says of its failure: its own sentence where it has one.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// What the database's failure is to a client.
fn failed(error: &tokio_postgres::Error) -> Problem {
    match error.code().map(|code| &code.code()[..2]) {
        // A value that it cannot hold, such as a zero byte in a text.
        Some("22") => Problem::unfit(format!("PostgreSQL cannot hold this: {}", said(error))),
        Some("53") => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, format!("PostgreSQL has no room: {}", said(error)))
        }
        // Unless it is gone, or held by somebody else.
        Some(class) if !["08", "55", "57"].contains(&class) => Problem::of_store(said(error)),
        _ => Problem::later(StatusCode::SERVICE_UNAVAILABLE, format!("PostgreSQL cannot be reached: {}", said(error))),
    }
}

/// What PostgreSQL says in its own way.
struct Pg;

impl Dialect for Pg {
    fn hole(number: usize, bind: &Bind) -> String {
        match bind {
            Bind::Number(_) => format!("${number}::numeric"),
            _ => format!("${number}"),
        }
    }

    fn field(path: &Path, binds: &mut Binds<Self>) -> Field {
        let node = path.iter().fold("doc".to_owned(), |node, name| format!("({node} -> {})", binds.text(name)));
        let kind = format!("jsonb_typeof({node})");
        Field {
            rank: format!(
                "(CASE {kind} WHEN 'boolean' THEN 1 WHEN 'number' THEN 2 WHEN 'string' THEN 3 WHEN 'object' THEN 4
                WHEN 'array' THEN 4 ELSE 0 END)::int8"
            ),
            number: format!("(CASE {kind} WHEN 'number' THEN ({node} #>> '{{}}')::numeric END)"),
            // By code points, as everywhere, and not as the database's language sorts.
            text: format!("(CASE {kind} WHEN 'string' THEN {node} #>> '{{}}' END COLLATE \"C\")"),
            truth: format!("(CASE {node} WHEN 'true'::jsonb THEN 1 WHEN 'false'::jsonb THEN 0 END)"),
        }
    }

    fn sorted(number: &str) -> String {
        // A numeric may have a hundred thousand digits.
        format!("round(least(greatest({number}, -1e300), 1e300), 40)")
    }

    fn shown(number: &str) -> String {
        format!("({number})::text")
    }

    fn contains(text: &str, part: &str) -> String {
        format!("position(lower({part} COLLATE \"C\") IN lower({text})) > 0")
    }

    fn search(words: &[Word], binds: &mut Binds<Self>) -> String {
        let word = |word: &Word| format!("'{}'{}", word.text, if word.begins { ":*" } else { "" });
        let wanted = binds.text(&words.iter().map(word).collect::<Vec<_>>().join(" & "));
        format!("words @@ to_tsquery('simple', {wanted})")
    }
}
