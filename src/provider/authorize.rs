//! RFC 6749 §4.1 and OpenID Connect Core §3.1.2 — the authorization endpoint, and what follows it.

use super::{
    ProviderError, SignInPages,
    access_token::rejection,
    browser::{Browser, PageError},
    session::Person,
    transaction::{self, OpenTransaction},
};
use crate::{
    crypto::{opaque::Opaque, sign::jws_verify},
    model::*,
    observe::{JwtFailure, JwtUse},
    protocol::{
        ErrorCode, OauthError, Params,
        authorize::{self, AuthorizeError, AuthorizeRequest, ReturnTo},
        authorize_response::{self, AuthorizeResponse},
        id_token,
        interaction::{self, Action, InteractionDecision, InteractionFacts, Page},
        transaction::Continuation,
    },
    store::{Effect, Spend},
};

/// Where the browser goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrowserStep {
    /// To the sign-in page, with this transaction.
    Login(String),
    /// To the consent page, with this transaction.
    Consent(String),
    /// Back to the client.
    Answer(AuthorizeResponse),
}

/// A page to show, or a step to take instead.
#[derive(Clone, Debug)]
pub enum Shown<P> {
    /// Show this.
    Page(P),
    /// Nothing to ask any more.
    Step(BrowserStep),
}

/// Everything a code is issued for.
struct Approval<'a> {
    request: &'a AuthorizeRequest,
    client: &'a Client,
    person: &'a Person,
    scopes: Scopes,
    /// The transaction to spend; none when no page was shown.
    spend: Option<Spend>,
    /// Whether the person just said yes.
    consented: bool,
}

impl SignInPages {
    /// The authorization endpoint.
    pub async fn authorize(&self, params: &Params<'_>, browser: &Browser) -> Result<BrowserStep, PageError> {
        let now = self.clock.now();
        let client = match params.get("client_id") {
            Some(client_id) => self.store.client(client_id).await?,
            None => None,
        };
        let parsed = match authorize::parse(params, client.as_deref()) {
            Ok(parsed) => parsed,
            Err(error) => return self.refuse_authorize(error),
        };
        let client = client.expect("parse refuses a request without a client");
        let mut request = parsed.request;
        if let Some(hint) = parsed.id_token_hint {
            let subject =
                self.verified_hint(&hint).filter(|hint| hint.aud == client.client_id).map(|hint| hint.sub);
            if subject.is_none() {
                let error =
                    OauthError::invalid_request("The id_token_hint is not an ID token of this client.");
                return self.refuse_authorize(AuthorizeError::Redirect {
                    to: request.to,
                    error,
                    event: None,
                });
            }
            request.subject = subject;
        }
        match self.check_resources(&client, &request.resources).await {
            Err(ProviderError::Refused(error)) => {
                return self.refuse_authorize(AuthorizeError::Redirect {
                    to: request.to,
                    error,
                    event: None,
                });
            }
            checked => checked?,
        }
        let transaction = self.begin(Continuation::Authorize(request), browser, now);
        let person = self.person(browser, now).await?;
        self.proceed(Action::Begin, &OpenTransaction { transaction, client, person, now }).await
    }

    fn refuse_authorize(&self, error: AuthorizeError) -> Result<BrowserStep, PageError> {
        let (AuthorizeError::Page { event, .. } | AuthorizeError::Redirect { event, .. }) = &error;
        if let Some(event) = *event {
            self.metrics.security_event(event);
        }
        match error {
            AuthorizeError::Page { error, .. } => {
                self.metrics.authorize_request(Some(error.code.as_str()));
                Err(error.into())
            }
            AuthorizeError::Redirect { to, error, .. } => Ok(BrowserStep::Answer(self.refusal(&to, &error))),
        }
    }

    /// The answer to a request that is refused.
    fn refusal(&self, to: &ReturnTo, error: &OauthError) -> AuthorizeResponse {
        self.metrics.authorize_request(Some(error.code.as_str()));
        authorize_response::refusal(to, &self.policy.issuer, error)
    }

    /// Loads the facts, and decides. Commits nothing.
    pub(super) async fn decide<'t>(
        &self,
        action: Action,
        open: &'t OpenTransaction,
    ) -> Result<InteractionDecision<'t>, PageError> {
        let OpenTransaction { transaction, client, person, now } = open;
        let consent = match person {
            Some(person) => self.store.consent(person.user.id, client.key).await?,
            None => None,
        };
        let facts = InteractionFacts {
            client,
            signed_in: person.as_ref().map(Person::signed_in),
            consent: consent.as_ref(),
            now: *now,
        };
        Ok(interaction::decide(action, transaction, &facts))
    }

    /// Commits what was decided, and says where the browser goes.
    pub(super) async fn carry_out(
        &self,
        decision: InteractionDecision<'_>,
        open: &OpenTransaction,
    ) -> Result<BrowserStep, PageError> {
        use InteractionDecision::{Approve, Redirect, Refuse, Show};
        let OpenTransaction { transaction, client, person, now } = open;
        match (decision, person) {
            (Approve { request, scopes, consented, spend }, Some(person)) => {
                let spend = spend.then(|| transaction::spend(transaction));
                let approval = Approval { request, client, person, scopes, spend, consented };
                self.issue_code(approval, *now).await.map(BrowserStep::Answer)
            }
            (Refuse { request, error, spend }, _) => {
                if spend {
                    self.commit(*now, Some(transaction::spend(transaction)), Vec::new()).await?;
                }
                Ok(BrowserStep::Answer(self.refusal(&request.to, &error)))
            }
            (Show(Page::Consent(_)) | Redirect(Page::Consent(_)), _) => {
                Ok(BrowserStep::Consent(self.carry(transaction)))
            }
            // Without a person, the decision is to sign in.
            (Show(Page::Login(_)) | Redirect(Page::Login(_)) | Approve { .. }, _) => {
                Ok(BrowserStep::Login(self.carry(transaction)))
            }
        }
    }

    /// Both.
    pub(super) async fn proceed(
        &self,
        action: Action,
        open: &OpenTransaction,
    ) -> Result<BrowserStep, PageError> {
        let decision = self.decide(action, open).await?;
        self.carry_out(decision, open).await
    }

    /// Issues a code: one commit that spends the transaction and inserts family, code and consent.
    async fn issue_code(
        &self,
        approval: Approval<'_>,
        now: UnixTime,
    ) -> Result<AuthorizeResponse, PageError> {
        let Approval { request, client, person, scopes, spend, consented } = approval;
        let family = self.new_family(request, client, person, &scopes, now);
        let begun = family.id;
        let (code, digest) = self.opaque.issue(Opaque::Code, &self.random);
        let row = Code {
            id: RowId(self.id()),
            digest,
            family: family.id,
            client: client.key,
            redirect_uri: request.to.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            created_at: now,
            expires_at: now.plus(self.policy.code_lifetime),
            spent_by: None,
        };
        let mut effects = vec![Effect::InsertFamily(Box::new(family)), Effect::InsertCode(Box::new(row))];
        if consented {
            effects.push(Effect::PutConsent(Consent {
                id: self.id(),
                user: person.user.id,
                client: client.key,
                scopes,
                resources: request.resources.clone(),
                created_at: now,
                updated_at: now,
            }));
        }
        self.commit(now, spend, effects).await?;
        // Ending a session or withdrawing a consent revokes the families that exist. One created at the same
        // moment must not survive: either that commit sees this family, or this reads what it changed.
        let remembered = !consented && !client.skip_consent;
        if self.store.session_by_id(person.session.id).await?.is_none()
            || remembered && self.store.consent(person.user.id, client.key).await?.is_none()
        {
            let until = self.policy.forget_revocation_at(now);
            let revoke = Effect::RevokeFamily { family: begun, client: client.key, until };
            self.commit(now, None, vec![revoke]).await?;
            let error = "The sign-in or the consent has just ended.";
            return Ok(self.refusal(&request.to, &OauthError::new(ErrorCode::LoginRequired, error)));
        }
        self.metrics.authorize_request(None);
        Ok(authorize_response::success(&request.to, &self.policy.issuer, code.expose()))
    }

    fn new_family(
        &self,
        request: &AuthorizeRequest,
        client: &Client,
        person: &Person,
        scopes: &Scopes,
        now: UnixTime,
    ) -> Family {
        let refreshable = interaction::is_refreshable(scopes, client);
        let lifetime = if refreshable {
            client.refresh_lifetime
        } else {
            self.policy.code_lifetime + client.access_lifetime
        };
        Family {
            id: FamilyId(self.id()),
            client: client.key,
            client_epoch: client.epoch,
            user: person.user.id,
            user_epoch: person.user.epoch,
            session: Some(person.session.id),
            scopes: scopes.clone(),
            resources: request.resources.clone(),
            claims: request.claims.clone(),
            auth_time: person.session.auth_time,
            amr: person.session.amr.clone(),
            refreshable,
            created_at: now,
            expires_at: now.plus(lifetime),
            revoked_at: None,
        }
    }

    /// What an ID token hint says, if one of our keys signed it. It may have expired.
    pub(super) fn verified_hint(&self, token: &str) -> Option<id_token::Hint> {
        let keys = self.key_ring.load();
        let payload = jws_verify(token, &[id_token::JWT_TYPE], |kid| keys.verifying(kid));
        let hint = payload.map_err(rejection).and_then(|payload| {
            id_token::read_hint(&payload, &self.policy.issuer).ok_or((JwtFailure::Claims, None))
        });
        hint.inspect_err(|(reason, event)| {
            self.metrics.jwt_rejected(JwtUse::IdTokenHint, *reason);
            event.iter().for_each(|event| self.metrics.security_event(*event));
        })
        .ok()
    }
}
