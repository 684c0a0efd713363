use std::sync::Mutex;

use redis::{AsyncCommands as _, ErrorKind, RedisError, pipe};

use super::*;
use crate::store::seen;
use crate::testing::Books;

/// Answers with what it was given, the last first.
struct Canned(Mutex<Vec<Result<Vec<Value>, RedisError>>>);

impl Canned {
    fn answer(&self) -> Result<Vec<Value>, RedisError> {
        self.0.lock().unwrap().pop().unwrap()
    }
}

impl ConnectionLike for Canned {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async { self.answer().map(|mut values| values.remove(0)) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async { self.answer() })
    }

    fn get_db(&self) -> i64 {
        3
    }
}

fn answering<const N: usize>(
    database: &str,
    answers: [Result<Vec<Value>, RedisError>; N],
) -> Connection<Canned> {
    let mut answers = Vec::from(answers);
    answers.reverse();
    Connection::new(Canned(Mutex::new(answers)), database)
        .entity("cart", "cart:")
        .entity("line", "cart:line:")
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

#[tokio::test]
async fn keys_belong_to_the_longest_prefix_and_else_to_other() {
    // Nothing is recorded by an agent that is off.
    let _books = Books::open();
    let okay = || Ok(vec![Value::Okay]);
    let mut cache = answering(
        "redis names",
        [okay(), okay(), okay(), Ok(vec![Value::Int(3)])],
    );
    let _: () = cache.set("cart:s3cret", 1).await.unwrap();
    let _: () = cache.set("cart:line:s3cret", 1).await.unwrap();
    let _: () = cache.set("s3cret", 1).await.unwrap();
    let _: i64 = cache.del(&["cart:1", "cart:2", "x"]).await.unwrap();
    let expected = [
        "+cart ?",
        "+line ?",
        "+__other__ ?",
        "+__other__ ?",
        "+cart ?",
    ];
    assert_eq!(seen::of("redis names"), expected);
    assert_eq!(cache.get_db(), 3);
}

#[tokio::test]
async fn each_command_of_a_pipeline_counts_and_fails_alone() {
    // Nothing is recorded by an agent that is off.
    let _books = Books::open();
    let failed = redis::parse_redis_value(b"-WRONGTYPE no\r\n").unwrap();
    let gone = RedisError::from((ErrorKind::Io, "gone"));
    let mut cache = answering(
        "redis pipelines",
        [
            Ok(vec![Value::Okay, failed]),
            Ok(vec![Value::Array(vec![Value::Int(1), text("abc")])]),
            Ok(vec![Value::Nil]),
            Err(gone),
        ],
    );
    let mut plain = pipe();
    plain.set("cart:1", "v").get("x");
    let error = plain
        .query_async::<(String, String)>(&mut cache)
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("WRONGTYPE"), "{error:?}");
    let mut whole = pipe();
    whole.atomic().incr("cart:1", 1).get("cart:1");
    let done: (i64, String) = whole.query_async(&mut cache).await.unwrap();
    assert_eq!(done, (1, "abc".to_owned()));
    // Called off by a WATCH, and gone.
    let off: Option<(i64, String)> = whole.query_async(&mut cache).await.unwrap();
    assert_eq!(off, None);
    let error = plain.exec_async(&mut cache).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let expected = [
        "+cart ?",
        "-__other__ !",
        "+cart ?",
        "-cart ?",
        "+cart !",
        "-cart !",
        "+cart !",
        "-__other__ !",
    ];
    assert_eq!(seen::of("redis pipelines"), expected);
}

#[test]
fn answers_are_as_long_as_their_data() {
    let map = Value::Map(vec![(
        text("a"),
        Value::Array(vec![text("bcd"), Value::Nil]),
    )]);
    assert_eq!(answer_bytes(&map), 4);
    assert_eq!(answer_bytes(&Value::Int(7)), 8);
    // Deep answers cost no stack.
    let deep = (0..200).fold(text("x"), |inner, _| Value::Array(vec![inner]));
    assert_eq!(answer_bytes(&deep), 1);
}
