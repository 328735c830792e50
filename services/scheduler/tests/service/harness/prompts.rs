//! A prompts service that keeps its queue of reviews, knows two words, and is away or slow when a test wants that.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::prompts::v1 as pb;
use kinora_proto::prompts::v1::prompt_service_server::{PromptService, PromptServiceServer};
use kinora_testkit::identity::identity;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::PATIENCE;

/// What has this word is refused.
pub const FORBIDDEN: &str = "forbidden";

/// What has this word needs review.
pub const DOUBTFUL: &str = "doubtful";

/// Clones share their state.
#[derive(Clone, Default)]
pub struct FakePrompts(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Whether an operator has approved it, by the prompt.
    reviews: HashMap<String, bool>,
    is_away: bool,
    /// Answers with a verdict that is none.
    is_odd: bool,
    /// Calls about what has this word wait for a permit.
    gate: Option<(String, Arc<Semaphore>)>,
    _stop: Option<DropGuard>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The header that it came with.
    pub token: String,
    /// What it asked for, one or several.
    pub requests: Vec<pb::PrepareRequest>,
}

impl FakePrompts {
    /// Serves it as `prompts`. Its URL.
    pub async fn serve(&self) -> String {
        let listener = kinora_testkit::net::loopback_listener().await;
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        self.0.lock()._stop = Some(stop.clone().drop_guard());
        // The server must not keep the state alive that ends it.
        let routes = Routes::new(PromptServiceServer::new(Served(Arc::downgrade(&self.0))));
        tokio::spawn(async move {
            let identity = identity("prompts");
            let lifecycle = Lifecycle::until(&stop);
            kinora_mesh::serve::grpc(listener, &identity, Grpc::of(routes), &lifecycle).await
        });
        format!("https://{address}")
    }

    pub fn be_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    pub fn be_odd(&self) {
        self.0.lock().is_odd = true;
    }

    /// Calls about what has the word wait until the semaphore lets them.
    pub fn hold(&self, word: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.0.lock().gate = Some((word.to_owned(), Arc::clone(&gate)));
        gate
    }

    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().calls.clone()
    }

    /// What the last call asked for.
    pub fn last(&self) -> Vec<pb::PrepareRequest> {
        let calls = self.calls();
        calls.last().expect("a call").requests.clone()
    }

    pub fn reviews(&self) -> usize {
        self.0.lock().reviews.len()
    }

    /// As an operator who approves everything.
    pub fn approve_all(&self) {
        for is_approved in self.0.lock().reviews.values_mut() {
            *is_approved = true;
        }
    }
}

struct Served(Weak<Mutex<State>>);

impl Served {
    async fn answer(
        &self,
        token: String,
        requests: Vec<pb::PrepareRequest>,
    ) -> Result<Vec<pb::PreparedPrompt>, Status> {
        let state = self
            .0
            .upgrade()
            .ok_or_else(|| Status::unavailable("gone"))?;
        let (gate, is_away) = {
            let mut state = state.lock();
            let call = Call {
                token,
                requests: requests.clone(),
            };
            state.calls.push(call);
            let gate = state.gate.clone();
            (gate, state.is_away)
        };
        if is_away {
            let away = PublicError::new(Kind::Unavailable, "MODERATION_UNAVAILABLE", "away");
            return Err(away.into());
        }
        let waits = |word: &str| requests.iter().any(|one| one.prompt.contains(word));
        if let Some((_, gate)) = gate.filter(|(word, _)| waits(word)) {
            let permit = tokio::time::timeout(PATIENCE, gate.acquire()).await;
            permit.expect("in time").expect("open").forget();
        }
        let mut state = state.lock();
        let prepared = requests.iter().enumerate();
        let prepared = prepared.map(|(index, one)| state.prepare(index, one));
        prepared.collect()
    }
}

impl State {
    fn prepare(
        &mut self,
        index: usize,
        request: &pb::PrepareRequest,
    ) -> Result<pb::PreparedPrompt, Status> {
        if request.prompt.matches("<S>").count() != request.prompt.matches("<E>").count() {
            let text = "tags do not pair";
            let invalid = PublicError::new(Kind::InvalidArgument, "PROMPT_TAGS_INVALID", text)
                .with_violation(format!("requests[{index}].prompt"), text)
                .with_metadata("index", index.to_string());
            return Err(invalid.into());
        }
        let (prompt, enhancer, fallback) = rewritten(request);
        Ok(pb::PreparedPrompt {
            object: "prompt".to_owned(),
            original_prompt: request.prompt.clone(),
            prompt,
            negative_prompt: match request.negative_prompt.as_str() {
                "" => String::new(),
                negative => format!("{negative}, blur"),
            },
            language: Some("en".to_owned()),
            moderation: Some(self.moderate(request)),
            enhancer: enhancer.into(),
            notes: match enhancer {
                pb::Enhancer::None => Vec::new(),
                _ => vec!["light was added".to_owned()],
            },
            fallback_reason: fallback.map(str::to_owned),
            ..pb::PreparedPrompt::default()
        })
    }

    fn moderate(&mut self, request: &pb::PrepareRequest) -> pb::Moderation {
        let sheets = request.characters.iter().map(|it| it.sheet.as_str());
        let texts = [
            (request.prompt.as_str(), "prompt"),
            (&request.negative_prompt, "negative_prompt"),
            (&request.style, "style"),
        ];
        let texts: Vec<(&str, &str)> = texts
            .into_iter()
            .chain(sheets.map(|sheet| (sheet, "character")))
            .collect();
        let found = |word: &str, rule_id: &str| {
            let (_, text) = texts.iter().find(|(text, _)| text.contains(word))?;
            Some(pb::Finding {
                category: "graphic_violence".to_owned(),
                rule_id: rule_id.to_owned(),
                evidence: word.to_owned(),
                text: (*text).to_owned(),
                ..pb::Finding::default()
            })
        };
        let mut review_id = None;
        let (verdict, finding) = match (found(FORBIDDEN, "en.terms"), found(DOUBTFUL, "en.doubt")) {
            _ if self.is_odd => (pb::Verdict::Unspecified, None),
            (Some(finding), _) => (pb::Verdict::Refuse, Some(finding)),
            (None, Some(finding)) => {
                assert!(request.request_review);
                let reviews = &mut self.reviews;
                let is_approved = *reviews.entry(request.prompt.clone()).or_default();
                review_id = Some(format!("review of {}", request.prompt));
                match is_approved {
                    true => (pb::Verdict::Allow, Some(finding)),
                    false => (pb::Verdict::Review, Some(finding)),
                }
            }
            (None, None) => (pb::Verdict::Allow, None),
        };
        pb::Moderation {
            verdict: verdict.into(),
            findings: finding.into_iter().collect(),
            review_id,
            ..pb::Moderation::default()
        }
    }
}

/// What comes of a prompt, by whom, and why not by whom it was asked for.
fn rewritten(request: &pb::PrepareRequest) -> (String, pb::Enhancer, Option<&'static str>) {
    let with_light = match request.prompt.as_str() {
        "long" => "x".repeat(501),
        prompt => format!("{prompt}, {} light", request.style),
    };
    match request.enhancer() {
        pb::Enhancer::Auto | pb::Enhancer::Rules => (with_light, pb::Enhancer::Rules, None),
        pb::Enhancer::Llm => (with_light, pb::Enhancer::Rules, Some("LLM_TIMEOUT")),
        _ => (request.prompt.clone(), pb::Enhancer::None, None),
    }
}

fn token<T>(request: &Request<T>) -> String {
    let token = request.metadata().get("authorization");
    let token = token.and_then(|token| token.to_str().ok());
    token.unwrap_or_default().to_owned()
}

#[tonic::async_trait]
impl PromptService for Served {
    async fn prepare(
        &self,
        request: Request<pb::PrepareRequest>,
    ) -> Result<Response<pb::PrepareResponse>, Status> {
        let token = token(&request);
        let mut prompts = self.answer(token, vec![request.into_inner()]).await?;
        Ok(Response::new(pb::PrepareResponse {
            prompt: prompts.pop(),
        }))
    }

    async fn batch_prepare(
        &self,
        request: Request<pb::BatchPrepareRequest>,
    ) -> Result<Response<pb::BatchPrepareResponse>, Status> {
        let token = token(&request);
        let prompts = self.answer(token, request.into_inner().requests).await?;
        Ok(Response::new(pb::BatchPrepareResponse { prompts }))
    }

    async fn enhance(
        &self,
        _: Request<pb::EnhanceRequest>,
    ) -> Result<Response<pb::EnhanceResponse>, Status> {
        Err(Status::unimplemented("not asked by a scheduler"))
    }

    async fn moderate(
        &self,
        _: Request<pb::ModerateRequest>,
    ) -> Result<Response<pb::ModerateResponse>, Status> {
        Err(Status::unimplemented("not asked by a scheduler"))
    }

    async fn get_policy(
        &self,
        _: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        Err(Status::unimplemented("not asked by a scheduler"))
    }
}
