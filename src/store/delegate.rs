//! Delegation: what a decorator does not change, the store below does.

/// Implements store traits for a decorator by passing each call to the store below.
///
/// ```ignore
/// delegate! { impl [S: Store + ?Sized] Clients, Keys for Cached<S> => { |this| this.store } }
/// ```
///
/// A decorator that does something around each call gives a second closure. Its first argument makes the
/// call, as often as it is called; a second one is the call's place in `OPERATIONS`:
///
/// ```ignore
/// delegate! {
///     impl [S: Store] Clients, Keys for Guard<S> => { |this| this.store, |call, of| this.read(of, call) }
/// }
/// ```
///
/// The place of use has `model::*`, `store::*`, `async_trait`, `Arc` and (for `Upkeep`) `Path` in scope.
/// A trait of which one method is different is implemented by hand.
macro_rules! delegate {
    (impl $generics:tt $($role:ident),+ for $type:ty => $way:tt) => {
        $(delegate! { @role $role $generics $type, $way })+
    };

    (@role Clients [$($generics:tt)*] $type:ty, $way:tt) => {
        #[async_trait]
        impl<$($generics)*> Clients for $type {
            async fn client(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
                delegate!(@call self $way client(client_id))
            }

            async fn client_by_key(&self, key: ClientKey) -> Result<Option<Arc<Client>>, StoreError> {
                delegate!(@call self $way client_by_key(key))
            }

            async fn clients(&self, after: Option<ClientKey>, limit: usize) -> Result<Vec<Client>, StoreError> {
                delegate!(@call self $way clients(after, limit))
            }

            async fn resource(&self, uri: &str) -> Result<Option<Arc<Resource>>, StoreError> {
                delegate!(@call self $way resource(uri))
            }

            async fn resources(&self, after: Option<Id>, limit: usize) -> Result<Vec<Resource>, StoreError> {
                delegate!(@call self $way resources(after, limit))
            }
        }
    };

    (@role Users [$($generics:tt)*] $type:ty, $way:tt) => {
        #[async_trait]
        impl<$($generics)*> Users for $type {
            async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, StoreError> {
                delegate!(@call self $way user(id))
            }

            async fn user_by_name(&self, username: &str) -> Result<Option<User>, StoreError> {
                delegate!(@call self $way user_by_name(username))
            }

            async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
                delegate!(@call self $way users(after, limit))
            }

            async fn session(&self, digest: &Digest) -> Result<Option<Session>, StoreError> {
                delegate!(@call self $way session(digest))
            }

            async fn session_by_id(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
                delegate!(@call self $way session_by_id(id))
            }

            async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
                delegate!(@call self $way sessions(user))
            }

            async fn consent(&self, user: UserId, client: ClientKey) -> Result<Option<Consent>, StoreError> {
                delegate!(@call self $way consent(user, client))
            }

            async fn consents(&self, user: UserId) -> Result<Vec<Consent>, StoreError> {
                delegate!(@call self $way consents(user))
            }
        }
    };

    (@role Grants [$($generics:tt)*] $type:ty, $way:tt) => {
        #[async_trait]
        impl<$($generics)*> Grants for $type {
            async fn code(&self, digest: &Digest) -> Result<Option<Code>, StoreError> {
                delegate!(@call self $way code(digest))
            }

            async fn rotation(&self, token: &RefreshToken, now: UnixTime) -> Result<Option<Rotation>, StoreError> {
                delegate!(@call self $way rotation(token, now))
            }

            async fn family(&self, id: FamilyId) -> Result<Option<Arc<Family>>, StoreError> {
                delegate!(@call self $way family(id))
            }
        }
    };

    (@role Keys [$($generics:tt)*] $type:ty, $way:tt) => {
        #[async_trait]
        impl<$($generics)*> Keys for $type {
            async fn signing_keys(&self, gone: bool) -> Result<Vec<SigningKey>, StoreError> {
                delegate!(@call self $way signing_keys(gone))
            }
        }
    };

    (@role FeedReads [$($generics:tt)*] $type:ty, $way:tt) => {
        #[async_trait]
        impl<$($generics)*> FeedReads for $type {
            async fn feed(&self, seq: u64, limit: usize) -> Result<FeedPage, StoreError> {
                delegate!(@call self $way feed(seq, limit))
            }

            async fn revocations(
                &self,
                after: Option<(RevocationKind, Id)>,
                limit: usize,
            ) -> Result<Vec<Revocation>, StoreError> {
                delegate!(@call self $way revocations(after, limit))
            }

            async fn revocations_of(
                &self,
                ids: &[(RevocationKind, Id)],
            ) -> Result<Vec<Revocation>, StoreError> {
                delegate!(@call self $way revocations_of(ids))
            }
        }
    };

    (@role Upkeep [$($generics:tt)*] $type:ty, $way:tt) => {
        #[async_trait]
        impl<$($generics)*> Upkeep for $type {
            async fn probe(&self) -> Result<(), StoreError> {
                delegate!(@call self $way probe())
            }

            async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Swept, StoreError> {
                delegate!(@call self $way sweep(now, limit))
            }

            async fn backup(&self, to: &Path) -> Result<(), StoreError> {
                delegate!(@call self $way backup(to))
            }

            async fn restored(&self, now: UnixTime, until: UnixTime) -> Result<(), StoreError> {
                delegate!(@call self $way restored(now, until))
            }

            async fn schema_version(&self) -> Result<u32, StoreError> {
                delegate!(@call self $way schema_version())
            }

            async fn statistics(&self) -> Result<StorageStatistics, StoreError> {
                delegate!(@call self $way statistics())
            }

            async fn close(&self) {
                delegate!(@close self $way)
            }
        }
    };

    (@call $self:tt { |$this:ident| $to:expr } $method:ident($($argument:ident),*)) => {{
        let $this = $self;
        $to.$method($($argument),*).await
    }};

    (@call $self:tt { |$this:ident| $to:expr, |$call:ident| $around:expr } $($rest:tt)*) => {
        delegate!(@call $self { |$this| $to, |$call, _of| $around } $($rest)*)
    };

    (@call $self:tt { |$this:ident| $to:expr, |$call:ident, $of:ident| $around:expr } $method:ident($($argument:ident),*)) => {{
        let $this = $self;
        let $of = const { crate::store::operation(stringify!($method)) };
        let $call = move || $to.$method($($argument),*);
        $around.await
    }};

    // What goes around the calls ends before the store is closed: closing is not one of them. A decorator
    // with something of its own to finish says what comes first.
    (@close $self:tt { |$this:ident| $to:expr, closing $first:expr }) => {{
        let $this = $self;
        $first.await;
        $to.close().await;
    }};

    (@close $self:tt { |$this:ident| $to:expr $(, |$call:ident $(, $of:ident)?| $around:expr)? }) => {{
        let $this = $self;
        $to.close().await;
    }};

    (@call $self:tt { |$this:ident| $to:expr, closing $first:expr } $($call:tt)*) => {
        delegate!(@call $self { |$this| $to } $($call)*)
    };
}

pub(crate) use delegate;
