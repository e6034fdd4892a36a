//! The one connection of this machine that writes: all that waits goes into one transaction of a few statements.

use std::{borrow::Cow, collections::HashMap, convert::Infallible};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Row, Transaction};

use super::{
    super::{
        super::{edit::Outcome, item::SCHEMAS, problem::Answer, schema::Schemas},
        Job, REMEMBERED, group,
        plan::{Found, Plan, Step},
        tell,
    },
    Connector, Done, failed, placed,
};

/// What is made in a new database. Who comes second waits for the first, and finds all of it.
const TABLES: &str = "
    SELECT pg_advisory_lock(7521962891);
    CREATE SCHEMA IF NOT EXISTS hullo_rest;
    CREATE TABLE IF NOT EXISTS items (
        seq int8 PRIMARY KEY,
        collection text COLLATE \"C\" NOT NULL,
        id text COLLATE \"C\" NOT NULL,
        body text NOT NULL,
        doc jsonb NOT NULL,
        words tsvector NOT NULL,
        revision int8 NOT NULL,
        modified int8 NOT NULL,
        UNIQUE (collection, id)
    );
    CREATE INDEX IF NOT EXISTS items_by_place ON items (collection, seq);
    CREATE INDEX IF NOT EXISTS items_by_revision ON items (collection, revision);
    CREATE INDEX IF NOT EXISTS items_by_word ON items USING gin (words);
    CREATE TABLE IF NOT EXISTS gone (revision int8 PRIMARY KEY, collection text COLLATE \"C\" NOT NULL, id text COLLATE \"C\" NOT NULL);
    CREATE INDEX IF NOT EXISTS gone_by_collection ON gone (collection, revision);
    CREATE TABLE IF NOT EXISTS counter (one bool PRIMARY KEY DEFAULT true CHECK (one), revision int8 NOT NULL);
    INSERT INTO counter VALUES (true, 0) ON CONFLICT DO NOTHING;
    SELECT pg_advisory_unlock(7521962891);
";

/// What the connection that writes is told besides: a long import takes its time, while another machine's turn is waited
/// for no longer than other statements take.
const READY: &str = "
    SET statement_timeout = '5min';
    SET lock_timeout = '30s';
    LISTEN hullo_rest;
";

/// An item's collection and id.
type Name = (String, String);

/// The writer.
pub(super) struct Writer {
    connector: Connector,
    client: Option<Client>,
    schemas: Schemas,
}

impl Writer {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, client: None, schemas: Schemas::default() }
    }

    /// Connects, and makes the tables.
    pub(super) async fn begin(mut self) -> Answer<Self> {
        let client = self.connector.connect().await?;
        client.batch_execute(TABLES).await.map_err(|error| failed(&error))?;
        client.batch_execute(READY).await.map_err(|error| failed(&error))?;
        self.client = Some(client);
        Ok(self)
    }

    /// Writes until nobody can ask for it any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.recv().await {
            let jobs = group(first, &mut queue);
            let answers = match self.commit(&jobs).await {
                Ok(answers) => answers,
                // One of them has a value that the database cannot hold: then each for itself.
                Err(problem) if problem.status == 422 && jobs.len() > 1 => {
                    let mut answers = Vec::with_capacity(jobs.len());
                    for job in &jobs {
                        let alone = self.commit(std::slice::from_ref(job)).await;
                        answers.push(alone.and_then(|mut one| one.pop().unwrap_or_else(|| Ok(Vec::new()))));
                    }
                    answers
                }
                Err(problem) => jobs.iter().map(|_| Err(problem.again())).collect(),
            };
            tell(jobs, answers, &self.connector.hub);
        }
    }

    async fn commit(&mut self, jobs: &[Job]) -> Answer<Vec<Answer<Vec<Outcome>>>> {
        let mut client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => {
                let client = self.connector.connect().await?;
                client.batch_execute(READY).await.map_err(|error| failed(&error))?;
                client
            }
        };
        let done = attempt(&mut client, &mut self.schemas, jobs).await;
        self.client = Some(client);
        done.map_err(|error| failed(&error))
    }
}

async fn attempt(client: &mut Client, schemas: &mut Schemas, jobs: &[Job]) -> Done<Vec<Answer<Vec<Outcome>>>> {
    let begun = client.transaction().await?;
    // Whoever has this row writes: no other machine does until the commit.
    let before: i64 = begun.query_one("SELECT revision FROM counter FOR UPDATE", &[]).await?.get(0);
    let mut known = fetched(&begun, jobs).await?;
    let mut plan = Plan::new(schemas, before);
    let mut written = Written::default();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        let find = |collection: &str, id: &str| {
            Ok::<Found, Infallible>(known.get(&(collection.to_owned(), id.to_owned())).cloned().flatten())
        };
        let Ok(planned) = plan.job(&job.edits, find);
        answers.push(planned.map(|steps| steps.into_iter().map(|step| written.take(step, &mut known)).collect()));
    }
    if plan.revision == before {
        return Ok(answers);
    }
    written.write(&begun, &known).await?;
    begun.execute("UPDATE counter SET revision = $1", &[&plan.revision]).await?;
    if plan.removes {
        begun.execute("DELETE FROM gone WHERE revision <= $1", &[&(plan.revision - REMEMBERED)]).await?;
    }
    begun.commit().await?;
    Ok(answers)
}

/// What is there of all that these jobs may touch, and the schemas of their collections.
async fn fetched(begun: &Transaction<'_>, jobs: &[Job]) -> Done<HashMap<Name, Found>> {
    let edits = || jobs.iter().flat_map(|job| &job.edits);
    let names =
        edits().map(|edit| (&*edit.collection, &*edit.id)).chain(edits().map(|edit| (SCHEMAS, &*edit.collection)));
    let (collections, ids): (Vec<&str>, Vec<&str>) = names.unzip();
    let sql = "SELECT seq, items.id, body, revision, modified, items.collection FROM items
        JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS wanted (collection, id)
        ON items.collection = wanted.collection COLLATE \"C\" AND items.id = wanted.id COLLATE \"C\"";
    let rows = begun.query(sql, &[&collections, &ids]).await?;
    let known = |row: &Row| {
        let found = placed(row);
        ((row.get(5), found.1.id.clone()), Some(found))
    };
    Ok(rows.iter().map(known).collect())
}

/// What a group has changed: each item once, as it is in the end.
#[derive(Default)]
struct Written {
    words: HashMap<Name, String>,
    /// The places of what was removed.
    places: Vec<i64>,
    /// Revision, collection and id.
    gone: Vec<(i64, String, String)>,
}

impl Written {
    /// Remembers a step, so that the next job finds it made.
    fn take(&mut self, step: Step, known: &mut HashMap<Name, Found>) -> Outcome {
        let found = step.leaves();
        match &step {
            Step::Nothing(_) => {}
            Step::Remove { place, collection, id, revision } => {
                self.places.push(*place);
                let name = (collection.clone(), id.clone());
                self.words.insert(name.clone(), String::new());
                self.gone.push((*revision, collection.clone(), id.clone()));
                known.insert(name, found);
            }
            Step::Write { collection, item, words, .. } => {
                let name = (collection.clone(), item.id.clone());
                self.words.insert(name.clone(), words.clone());
                known.insert(name, found);
            }
        }
        step.outcome()
    }

    /// A statement for all that goes, one for all that comes, and one for what others must hear of.
    async fn write(&self, begun: &Transaction<'_>, known: &HashMap<Name, Found>) -> Done<()> {
        let now = |name: &Name| known.get(name).and_then(Option::as_ref);
        // An item that is made anew has another place, so that these are free of it.
        begun.execute("DELETE FROM items WHERE seq = ANY($1)", &[&self.places]).await?;
        let mut columns = Columns::default();
        for (name, words) in &self.words {
            if let Some((place, item)) = now(name) {
                columns.places.push(*place);
                columns.collections.push(&name.0);
                columns.ids.push(&name.1);
                columns.bodies.push(&item.body);
                columns.docs.push(searchable(&item.body));
                columns.words.push(words);
                columns.revisions.push(item.revision);
                columns.times.push(item.modified);
            }
        }
        let Columns { places, collections, ids, bodies, docs, words, revisions, times } = &columns;
        let sql = "INSERT INTO items (seq, collection, id, body, doc, words, revision, modified)
            SELECT seq, collection, id, body, doc::jsonb, to_tsvector('simple', words), revision, modified
            FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::int8[])
            AS new (seq, collection, id, body, doc, words, revision, modified)
            ON CONFLICT (seq) DO UPDATE SET body = excluded.body, doc = excluded.doc, words = excluded.words,
            revision = excluded.revision, modified = excluded.modified";
        begun.execute(sql, &[places, collections, ids, bodies, docs, words, revisions, times]).await?;
        let revisions: Vec<i64> = self.gone.iter().map(|(revision, ..)| *revision).collect();
        let collections: Vec<&str> = self.gone.iter().map(|(_, collection, _)| &**collection).collect();
        let ids: Vec<&str> = self.gone.iter().map(|(.., id)| &**id).collect();
        let sql = "INSERT INTO gone SELECT * FROM unnest($1::int8[], $2::text[], $3::text[])";
        begun.execute(sql, &[&revisions, &collections, &ids]).await?;
        let changed: Vec<&str> = self.words.keys().map(|(collection, _)| &**collection).collect();
        let sql = "SELECT pg_notify('hullo_rest', collection) FROM (SELECT DISTINCT unnest($1::text[])) AS changed (collection)";
        begun.execute(sql, &[&changed]).await.map(drop)
    }
}

/// The columns of new rows.
#[derive(Default)]
struct Columns<'a> {
    places: Vec<i64>,
    collections: Vec<&'a str>,
    ids: Vec<&'a str>,
    bodies: Vec<&'a str>,
    docs: Vec<Cow<'a, str>>,
    words: Vec<&'a str>,
    revisions: Vec<i64>,
    times: Vec<i64>,
}

/// The body as it is filtered and sorted. A `jsonb` has no zero byte in its texts: another character that is none stands
/// there, while the body itself is kept as it came.
fn searchable(body: &str) -> Cow<'_, str> {
    if !body.contains("\\u0000") {
        return Cow::Borrowed(body);
    }
    match serde_json::from_str(body) {
        Ok(value) => Cow::Owned(without_zeros(value).to_string()),
        Err(_) => Cow::Borrowed(body),
    }
}

fn without_zeros(value: Value) -> Value {
    let clean = |text: String| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => values.into_iter().map(without_zeros).collect(),
        Value::Object(object) => object.into_iter().map(|(name, value)| (clean(name), without_zeros(value))).collect(),
        other => other,
    }
}
