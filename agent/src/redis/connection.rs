//! A connection whose commands are weighed.

use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};
use weighbridge_wire::OTHER;

use super::ENTITIES_MAX;
use super::commands::{Command, arguments};
use crate::ledger::{limits, loss};
use crate::state;
use crate::store::{Access, Ended, Statement, Uses};

/// A connection whose commands are weighed. `AsyncCommands`, commands and pipelines work on it as before.
#[derive(Clone, Debug)]
pub struct Connection<C> {
    inner: C,
    database: Arc<str>,
    /// Prefixes of keys, and what a command on one such key uses. The last stands for all other keys.
    spaces: Arc<[Space]>,
}

#[derive(Clone, Debug)]
struct Space {
    prefix: &'static str,
    read: Arc<Uses>,
    write: Arc<Uses>,
}

impl Space {
    fn new(name: &str, prefix: &'static str) -> Self {
        let name: Arc<str> = limits::cut(name).into();
        let uses = |access| {
            Arc::new(Uses {
                entities: vec![(name.clone(), access)],
                ..Uses::default()
            })
        };
        Self {
            prefix,
            read: uses(Access::Read),
            write: uses(Access::Write),
        }
    }

    fn of(&self, access: Access) -> &Arc<Uses> {
        match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        }
    }
}

impl<C> Connection<C> {
    /// Weighs the commands of a connection. `database` is the name under which its entities are shown.
    #[must_use]
    pub fn new(inner: C, database: &str) -> Self {
        Self {
            inner,
            database: limits::cut(database).into(),
            spaces: [Space::new(OTHER, "")].into(),
        }
    }

    /// Declares an entity: all keys that begin with `prefix` belong to it. Of several prefixes that fit the longest
    /// decides. Beyond [`ENTITIES_MAX`] nothing changes: such keys are `__other__`.
    #[must_use]
    pub fn entity(mut self, name: &'static str, prefix: &'static str) -> Self {
        let mut spaces = self.spaces.to_vec();
        if spaces.len() > ENTITIES_MAX {
            loss("agent.redis", "too many entities", 1);
            return self;
        }
        spaces.push(Space::new(name, prefix));
        spaces.sort_by_key(|space| std::cmp::Reverse(space.prefix.len()));
        self.spaces = spaces.into();
        self
    }

    /// The connection itself. What is done with it is not weighed.
    pub fn as_inner_mut(&mut self) -> &mut C {
        &mut self.inner
    }

    /// What a command uses.
    fn uses(&self, command: &Cmd) -> Arc<Uses> {
        let Some(known) = Command::of(command) else {
            loss("agent.redis", "command not known", 1);
            return Arc::default();
        };
        let mut found: Option<Arc<Uses>> = None;
        let mut more: Vec<(Arc<str>, Access)> = Vec::new();
        known.keys(command, |key, access| {
            let Some(space) = self.space(key) else {
                return;
            };
            let uses = space.of(access);
            match &found {
                None => found = Some(uses.clone()),
                Some(first) if Arc::ptr_eq(first, uses) => {}
                Some(_) => more.extend(uses.entities.iter().cloned()),
            }
        });
        let Some(first) = found else {
            return Arc::default();
        };
        if more.is_empty() {
            return first;
        }
        more.extend(first.entities.iter().cloned());
        more.sort();
        more.dedup();
        Arc::new(Uses {
            entities: more,
            ..Uses::default()
        })
    }

    fn space(&self, key: &[u8]) -> Option<&Space> {
        let fits = |space: &&Space| key.starts_with(space.prefix.as_bytes());
        self.spaces.iter().find(fits)
    }
}

/// How a command ended, with the bytes of what it uses.
fn ended(uses: &Uses, command: &Cmd, answer: &Value) -> Ended {
    let bytes = match uses.entities.first() {
        Some((_, Access::Read)) => Some(answer_bytes(answer)),
        Some((_, Access::Write)) => Some(arguments(command).map(|arg| arg.len() as u64).sum()),
        None => None,
    };
    let failed = matches!(answer, Value::ServerError(_));
    Ended {
        rows: None,
        bytes: bytes.filter(|_| !failed),
        failed,
    }
}

/// Bytes of the data in an answer. Numbers count as the 8 bytes that hold them.
fn answer_bytes(answer: &Value) -> u64 {
    // An answer is as deep as the server makes it: no recursion.
    let (mut sum, mut left) = (0u64, vec![answer]);
    while let Some(value) = left.pop() {
        match value {
            Value::BulkString(bytes) => sum += bytes.len() as u64,
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
                sum += text.len() as u64;
            }
            Value::Int(_) | Value::Double(_) => sum += 8,
            Value::Boolean(_) => sum += 1,
            Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
                left.extend(items);
            }
            Value::Map(pairs) => left.extend(pairs.iter().flat_map(|(key, value)| [key, value])),
            Value::Attribute { data, .. } => left.push(data),
            _ => {}
        }
    }
    sum
}

impl<C: ConnectionLike + Send> ConnectionLike for Connection<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        if !state::measuring() {
            return self.inner.req_packed_command(command);
        }
        let uses = self.uses(command);
        let mut weighed = Statement::begin(&self.database, uses.clone());
        Box::pin(async move {
            let answer = weighed.wait(self.inner.req_packed_command(command)).await?;
            weighed.end_each(|_| ended(&uses, command, &answer));
            Ok(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        if !state::measuring() {
            return self.inner.req_packed_commands(pipeline, offset, count);
        }
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let all: Vec<Arc<Uses>> = commands.iter().map(|command| self.uses(command)).collect();
        let mut weighed = Statement::begin_many(&self.database, all.clone());
        Box::pin(async move {
            let sent = self.inner.req_packed_commands(pipeline, offset, count);
            let answers = weighed.wait(sent).await?;
            // A transaction answers once, with all answers in it; nothing in it when it was called off.
            let each: &[Value] = match &answers[..] {
                [Value::Array(each)] if pipeline.is_transaction() => each,
                _ if pipeline.is_transaction() => &[],
                each => each,
            };
            weighed.end_each(|n| match each.get(n) {
                Some(answer) => ended(&all[n], commands[n], answer),
                None => Ended {
                    failed: true,
                    ..Ended::default()
                },
            });
            Ok(answers)
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

#[cfg(test)]
mod tests;
