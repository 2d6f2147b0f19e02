//! What a client of the WebSocket asks for, checked against the classes and its rights.

use crate::event_request::EventRequest;
use crate::event_request::NewsReader;
use crate::exact;
use crate::problem::Problem;
use postroom_model::CallAsks;
use postroom_model::CallProblem;
use postroom_model::SocketCall;
use postroom_model::SubscribeCall;
use serde_json::Value as Json;
use std::time::Duration;

/// A message of a client.
#[derive(Debug)]
pub(crate) struct SocketMessage {
    /// A value that the client recognises in the answer. Null: it sent none.
    pub qid: Json,
    /// The id of the subscription.
    pub id: String,
    pub wish: Wish,
}

/// What the client wants.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Events in the form of `GET /rest/v1/events`, after a number.
    Follow(Box<EventRequest>),
    /// Changes of the entities of some classes from now on.
    Subscribe(Subscription),
    /// The end of a subscription.
    Unsubscribe,
}

/// What the client asks for with `subscribe`.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// One request for each class.
    pub requests: Vec<EventRequest>,
    /// How long it lasts.
    pub expires: Duration,
    /// The members without `expires`. A message with the same ones renews the subscription.
    pub asked: Json,
}

/// A message that cannot be read, with the values by which its client recognises the answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub qid: Json,
    pub id: Json,
    pub problem: Problem,
}

impl SocketMessage {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by its place.
    pub(crate) fn parse(reader: &NewsReader, text: &str) -> Result<Self, Box<Refused>> {
        let SocketCall { qid, id, asks } = SocketCall::parse(text).map_err(|refused| {
            let problem = match refused.why {
                CallProblem::NotJson(error) => Problem::not_json("the message", &error),
                CallProblem::Malformed(detail) => Problem::malformed(detail),
                CallProblem::Invalid(problems) => problems.into(),
            };
            Box::new(Refused { qid: refused.qid, id: refused.id, problem })
        })?;
        let wish = exact::refuse(&exact::rounded(text.as_bytes()));
        match wish.and_then(|()| Wish::of(reader, asks)) {
            Ok(wish) => Ok(Self { qid, id, wish }),
            Err(problem) => Err(Box::new(Refused { qid, id: Json::from(id), problem })),
        }
    }
}

impl Wish {
    fn of(reader: &NewsReader, asks: CallAsks) -> Result<Self, Problem> {
        Ok(match asks {
            CallAsks::Follow(texts) => Self::Follow(Box::new(EventRequest::of(reader, &texts)?)),
            CallAsks::Subscribe(SubscribeCall { requests, expires, asked }) => {
                // The places are those of what was sent.
                let of_class = |(at, texts): (usize, &Vec<_>)| {
                    EventRequest::of(reader, texts).map_err(|problem| {
                        problem.placed(|name| match name {
                            "class" => format!("objects[{at}]"),
                            name => format!("exargs.{name}"),
                        })
                    })
                };
                let requests = requests.iter().enumerate().map(of_class);
                let requests = requests.collect::<Result<_, _>>()?;
                Self::Subscribe(Subscription { requests, expires, asked })
            }
            CallAsks::Unsubscribe => Self::Unsubscribe,
        })
    }
}
