//! Rounds. All servers of a group are started, and then each contender has its turn in every round, in an order that is
//! new each time: what disturbs the machine for a while disturbs all of them.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    figures::Figures,
    group::{Door, Group, Load, Server, Subject},
    place::Place,
    program::{Core, Program},
};
use crate::{
    machine,
    run::{Outcome, failed},
};

/// A sample is repeated if others used more than this of a core meanwhile, and so often.
pub(crate) const FOREIGN: f64 = 0.25;
const TRIES: usize = 3;

/// How long a generator may need beyond the time that it measures.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often, and how long each time.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
}

/// What all contenders had to do, and how they did it.
pub(crate) struct Course {
    pub(crate) name: &'static str,
    pub(crate) contenders: Vec<Contender>,
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// One for each round; none from where it failed.
    pub(crate) samples: Vec<Option<Sample>>,
    pub(crate) trouble: Option<String>,
    /// Which of the servers and of the loads.
    pair: (usize, usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) figures: Figures,
    /// CPU-seconds of the contender, and of the other end.
    pub(crate) cpu: f64,
    pub(crate) other_cpu: f64,
    /// The cores that others used meanwhile.
    pub(crate) foreign: f64,
}

/// All rounds of a group.
pub(crate) fn measure(group: &'static Group, place: &Place, run: Run) -> Outcome<Vec<Course>> {
    if group.servers.iter().any(|server| server.command.contains("{folder}/files")) {
        place.fill_files()?;
    }
    let field = Field::open(group, place, run)?;
    let mut courses = field.courses();
    let mut order = Order::new();
    for round in 1..=run.rounds {
        eprintln!("{}: round {round} of {}", group.name, run.rounds);
        for course in &mut courses {
            for turn in order.of(course.contenders.len()) {
                field.turn(&mut course.contenders[turn]);
            }
        }
    }
    Ok(courses)
}

/// The servers of a group, running.
struct Field<'a> {
    group: &'static Group,
    place: &'a Place,
    run: Run,
    helper: Option<Program>,
    servers: Vec<Result<Running, String>>,
}

struct Running {
    /// None is in between: the generator goes to the helper.
    program: Option<Program>,
    at: u16,
}

impl<'a> Field<'a> {
    fn open(group: &'static Group, place: &'a Place, run: Run) -> Outcome<Self> {
        let behind = machine::free_port()?;
        let mut field = Self { group, place, run, helper: None, servers: Vec::new() };
        if let Some(command) = group.behind {
            let words = place.words(command, &[("port", behind.to_string())]);
            let helper = Program::start(&format!("{} behind", group.name), &words, Core::Generator, place)?;
            helper.listens(behind)?;
            field.helper = Some(helper);
        }
        for server in group.servers {
            let running = start(group.name, server, place, behind);
            let running = running.map_err(|failure| failure.why.unwrap_or_default());
            if let Err(why) = &running {
                eprintln!("skipped: {} of {}: {why}", server.name, group.name);
            }
            field.servers.push(running);
        }
        Ok(field)
    }

    /// Who has to do what: each load is a course of servers, or each server one of generators.
    fn courses(&self) -> Vec<Course> {
        let loads: Vec<_> = self.group.loads.iter().enumerate().collect();
        let suited = |load: &Load| {
            let servers = self.group.servers.iter().enumerate();
            servers.filter(|(_, server)| load.suits(server)).map(|(at, _)| at).collect::<Vec<_>>()
        };
        match self.group.subject {
            Subject::Servers => loads
                .into_iter()
                .map(|(at, load)| Course {
                    name: load.name,
                    contenders: suited(load)
                        .into_iter()
                        .map(|server| self.contender(self.group.servers[server].name, (server, at)))
                        .collect(),
                })
                .collect(),
            Subject::Generators => {
                let pairs = loads.into_iter().flat_map(|(at, load)| suited(load).into_iter().map(move |to| (to, at)));
                let contenders = pairs.map(|pair| self.contender(self.group.loads[pair.1].name, pair)).collect();
                vec![Course { name: "", contenders }]
            }
        }
    }

    fn contender(&self, name: &'static str, pair: (usize, usize)) -> Contender {
        let trouble = self.servers[pair.0].as_ref().err().cloned();
        Contender { name, samples: Vec::new(), trouble, pair }
    }

    /// One sample more, unless it failed before.
    fn turn(&self, contender: &mut Contender) {
        let sample = match contender.trouble {
            Some(_) => None,
            None => match self.sample(contender.pair) {
                Ok(sample) => Some(sample),
                Err(failure) => {
                    let why = failure.why.unwrap_or_default();
                    eprintln!("skipped: {} of {}: {why}", contender.name, self.group.name);
                    contender.trouble = Some(why);
                    None
                }
            },
        };
        contender.samples.push(sample);
    }

    /// The first sample that was left alone, or the one that was disturbed the least.
    fn sample(&self, pair: (usize, usize)) -> Outcome<Sample> {
        let mut best = self.once(pair)?;
        for _ in 1..TRIES {
            if best.foreign <= FOREIGN {
                break;
            }
            let next = self.once(pair)?;
            if next.foreign < best.foreign {
                best = next;
            }
        }
        Ok(best)
    }

    fn once(&self, (server, load): (usize, usize)) -> Outcome<Sample> {
        let Ok(running) = &self.servers[server] else { return Err(failed("its server does not run")) };
        let load = &self.group.loads[load];
        let words = self.place.words(load.command, &self.names(running.at, self.group.servers[server].speaks));
        let name = format!("{} {} {}", self.group.name, self.group.servers[server].name, load.name);
        let mut generator = Program::start(&name, &words, Core::Generator, self.place)?;
        // Those of ours prepare themselves first; what that takes a server is not what is measured.
        let prepares = load.command.starts_with("{c}/");
        if prepares {
            generator.is_ready(PATIENCE)?;
        }
        let (began, before) = (Instant::now(), self.clocks(running)?);
        let prepared = generator.cpu();
        if prepares {
            generator.go()?;
        }
        let (printed, generator) = generator.finish(PATIENCE + Duration::from_secs_f64(self.run.seconds * 2.0))?;
        let (wall, after) = (began.elapsed().as_secs_f64(), self.clocks(running)?);
        let Some(figures) = load.reads.figures(&printed) else {
            return Err(failed(format!("its words have no figures in them: {}", printed.trim())));
        };
        let server = after.server - before.server;
        let ours = server + generator - prepared + after.helper - before.helper;
        let foreign = ((after.busy - before.busy - ours) / wall).max(0.0);
        let (cpu, other_cpu) = match self.group.subject {
            // The helper shares the generator's core.
            Subject::Servers => (server, generator - prepared + after.helper - before.helper),
            Subject::Generators => (generator, server),
        };
        Ok(Sample { figures, cpu, other_cpu, foreign })
    }

    fn names(&self, at: u16, speaks: &str) -> [(&'static str, String); 5] {
        let seconds = self.run.seconds;
        [
            ("at", at.to_string()),
            ("seconds", seconds.to_string()),
            ("whole", seconds.ceil().to_string()),
            ("milliseconds", (seconds * 1000.0).round().to_string()),
            ("speaks", speaks.to_owned()),
        ]
    }

    fn clocks(&self, running: &Running) -> Outcome<Clocks> {
        let cpu = |program: &Option<Program>| program.as_ref().map_or(0.0, Program::cpu);
        Ok(Clocks { busy: machine::busy()?, server: cpu(&running.program), helper: cpu(&self.helper) })
    }
}

/// CPU-seconds so far: of the whole machine, and of those of ours that keep running.
struct Clocks {
    busy: f64,
    server: f64,
    helper: f64,
}

/// Starts a server with ports of its own, and gives the one that generators go to.
fn start(group: &str, server: &Server, place: &Place, behind: u16) -> Outcome<Running> {
    let ports = [machine::free_port()?, machine::free_port()?, machine::free_port()?];
    let at = match server.door {
        Door::First => ports[0],
        Door::Second => ports[1],
        Door::Third => ports[2],
        Door::Behind => behind,
    };
    let program = if server.command.is_empty() {
        None
    } else {
        let program = launch(&format!("{group} {}", server.name), server, place, ports, behind)?;
        program.listens(at)?;
        Some(program)
    };
    Ok(Running { program, at })
}

/// Starts a server; `name` is that of its log.
pub(crate) fn launch(name: &str, server: &Server, place: &Place, ports: [u16; 3], behind: u16) -> Outcome<Program> {
    let mut names = vec![("port", ports[0].to_string()), ("second", ports[1].to_string())];
    names.extend([("third", ports[2].to_string()), ("behind", behind.to_string())]);
    if let Some(file) = server.configuration {
        names.push(("configuration", place.configuration(file, &names)?.display().to_string()));
    }
    Program::start(name, &place.words(server.command, &names), Core::Server, place)
}

/// Orders that nobody can adapt to.
struct Order(u64);

impl Order {
    fn new() -> Self {
        // Each state begins with keys of chance.
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    /// The numbers below that, shuffled.
    fn of(&mut self, many: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..many).collect();
        for last in (1..many).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// Xorshift: no secret depends on it.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// All samples, as they are kept.
pub(crate) fn samples(courses: &[Course]) -> Value {
    let sample = |sample: &Sample| {
        let Figures { rate, work, p50, p99 } = sample.figures;
        json!({
            "rate": rate, "work": work, "p50_ms": p50, "p99_ms": p99,
            "cpu_seconds": sample.cpu, "other_cpu_seconds": sample.other_cpu, "foreign_cores": sample.foreign,
        })
    };
    let contender = |contender: &Contender| {
        let samples: Vec<_> = contender.samples.iter().map(|round| round.as_ref().map(sample)).collect();
        json!({ "name": contender.name, "trouble": contender.trouble, "rounds": samples })
    };
    let course = |course: &Course| json!({ "name": course.name, "contenders": course.contenders.iter().map(contender).collect::<Vec<_>>() });
    courses.iter().map(course).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_has_a_turn_in_every_order() {
        let mut order = Order::new();
        let seen: BTreeSet<_> = (0..200).map(|_| order.of(3)).collect();
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|order| order.iter().collect::<BTreeSet<_>>().len() == 3));
        assert!(order.of(0).is_empty());
    }
}
