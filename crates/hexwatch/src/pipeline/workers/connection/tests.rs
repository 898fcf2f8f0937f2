//! A connection over a real socket, and how it stands still while its queue is full.

use std::pin::pin;
use std::task::Poll;

use hexwatch_relay::{Handed, Secret, hello};
use hexwatch_server::Metrics;

use super::super::desk::tests::{access, chunk, desk, open};
use super::*;

fn greeting_of(secret: &str, lane: usize) -> Report {
    Report::Note(Note::Hello(Hello {
        version: hello::VERSION,
        program: "0".to_owned(),
        worker: "a".to_owned(),
        lane,
        fingerprint: "f".to_owned(),
        secret: secret.to_owned(),
    }))
}

fn reception() -> Reception {
    Reception {
        listener: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        secret: Secret::new("s"),
        fingerprint: "f".to_owned(),
        metrics: Metrics::new(),
        stop: CancellationToken::new(),
    }
}

/// The two ends of a connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (worker, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (worker.unwrap(), accepted.unwrap().0)
}

async fn report(worker: &mut TcpStream, report: &Report) {
    frame::write(worker, &report.encode().unwrap()).await.unwrap();
}

async fn next_order(worker: &mut TcpStream) -> Option<Order> {
    let bytes = frame::read(worker, frame::LONGEST).await.unwrap();
    bytes.map(|bytes| Order::decode(&bytes).unwrap())
}

fn handed(first: i64, next: i64) -> Report {
    Report::Chunk(Box::new(Handed { lease: 101, mark: None, chunk: chunk(access(), first, next) }))
}

#[tokio::test]
async fn whoever_greets_with_a_wrong_secret_is_told_and_gets_no_place() {
    let (desk, _queues) = desk(8);
    let (mut worker, stream) = connected().await;
    report(&mut worker, &greeting_of("guessed", 0)).await;
    let ended = serve(&desk, &reception(), stream, &CancellationToken::new()).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("the worker `a` was not let in"), "{error}");
    let Some(Order::Refused(why)) = next_order(&mut worker).await else { panic!("it is not told why") };
    assert!(why.contains("`workers.secret`"), "{why}");
    assert!(!why.contains("guessed"), "what was said is not repeated: {why}");
    assert_eq!(next_order(&mut worker).await, None, "the connection has ended");
    assert!(!desk.is_anybody_there());
}

#[tokio::test]
async fn whoever_brings_records_before_a_greeting_is_not_heard() {
    let (desk, [_, mut queue]) = desk(8);
    open(&desk, access(), 0);
    let (mut worker, stream) = connected().await;
    report(&mut worker, &handed(0, 1)).await;
    let ended = serve(&desk, &reception(), stream, &CancellationToken::new()).await;
    assert_eq!(ended.unwrap_err().to_string(), "a worker has to greet first");
    assert!(queue.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_has_its_place_for_as_long_as_its_connection_lasts() {
    let (desk, [_, mut queue]) = desk(8);
    open(&desk, access(), 0);
    let (mut worker, stream) = connected().await;
    let (reception, end) = (reception(), CancellationToken::new());
    let working = async {
        report(&mut worker, &greeting_of("s", 1)).await;
        assert_eq!(next_order(&mut worker).await, Some(Order::Welcome));
        report(&mut worker, &Report::Note(Note::Claim(vec![access()]))).await;
        assert!(matches!(next_order(&mut worker).await, Some(Order::Grant(grant)) if grant.lease == 101));
        report(&mut worker, &handed(0, 4)).await;
        assert!(matches!(queue.recv().await, Some(Event::Chunk(chunk)) if chunk.next_offset == 4));
        assert!(desk.unread().is_empty());
        drop(worker);
    };
    let (ended, ()) = tokio::join!(serve(&desk, &reception, stream, &end), working);
    ended.unwrap();
    assert_eq!(desk.unread(), [access()]);
    assert!(!desk.is_anybody_there());
}

#[tokio::test]
async fn a_chunk_of_another_lane_ends_the_connection_that_brings_it() {
    let (desk, _queues) = desk(8);
    open(&desk, access(), 0);
    let bytes = handed(0, 4).encode().unwrap();
    let error = hear(&desk, 0, 1, &bytes).await.unwrap_err().to_string();
    assert!(error.contains("another lane"), "{error}");
}

#[tokio::test]
async fn a_connection_whose_queue_is_full_is_read_on_when_the_engine_has_taken_something() {
    let (desk, [_, mut queue]) = desk(1);
    open(&desk, access(), 0);
    let (orders, _waiting) = mpsc::channel(8);
    let connection = Connection { worker: "a".to_owned(), lane: 1, orders, end: CancellationToken::new() };
    let member = desk.join(connection, Instant::now());
    desk.note(member, Note::Claim(vec![access()]), Instant::now());
    let (one, other) = (handed(0, 4).encode().unwrap(), handed(4, 6).encode().unwrap());
    hear(&desk, 1, member, &one).await.unwrap();
    {
        let mut second = pin!(hear(&desk, 1, member, &other));
        let looked = std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await;
        assert!(looked.is_pending(), "there is no room");
        assert_eq!(desk.progress()[0].position, 4, "and nothing counts as taken that has none");
        assert!(matches!(queue.try_recv(), Ok(Event::Chunk(chunk)) if chunk.next_offset == 4));
        second.await.unwrap();
    }
    assert!(matches!(queue.try_recv(), Ok(Event::Chunk(chunk)) if chunk.next_offset == 6));
}
