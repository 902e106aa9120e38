//! Every route: its methods and path, what a key must be good for, how it is counted, and what a key that is for some services
//! only may do there.
//!
//! The router is built from this table and from nothing else, and the tests of access walk through it: a route that is not here does
//! not exist, and one that is here is tested. A new route is a line here and an arm in `server/mod.rs`.
//!
//! Invariant: plain data; it knows nothing of the server.

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// What a key must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Nothing: no key is asked for.
    Open,
    Ingest,
    Read,
    Admin,
}

/// What requests are counted as, for their rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Uncounted,
    Ingest,
    Batch,
    Read,
    Admin,
    #[cfg_attr(not(test), expect(dead_code, reason = "jobs have no routes yet"))]
    Jobs,
}

/// What a key that is for some services only may do at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Services {
    /// Nothing.
    Refused,
    /// What concerns its services; the path names the service, and the door looks at it.
    Named,
    /// What concerns its services; the handler sees to that.
    Narrowed,
}

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Name,
    pub(crate) methods: &'static [Method],
    pub(crate) path: &'static str,
    pub(crate) scope: Scope,
    pub(crate) class: Class,
    pub(crate) services: Services,
}

impl Route {
    /// Whether it changes something, or sets work off.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.scope, Scope::Ingest | Scope::Admin) && self.methods != [Method::Get]
    }
}

macro_rules! routes {
    ($($name:ident: [$($method:ident),+] $path:literal $scope:ident $class:ident $services:ident;)+) => {
        /// What each route is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Name { $($name),+ }

        /// All of them.
        pub(crate) const TABLE: &[Route] = &[$(Route {
            name: Name::$name,
            methods: &[$(Method::$method),+],
            path: $path,
            scope: Scope::$scope,
            class: Class::$class,
            services: Services::$services,
        }),+];
    };
}

routes! {
    Health: [Get] "/health" Open Uncounted Refused;
    Ready: [Get] "/ready" Open Uncounted Refused;
    Metrics: [Get] "/metrics" Open Uncounted Refused;

    IngestOne: [Post] "/api/v1/logs/ingest" Ingest Ingest Narrowed;
    IngestBatch: [Post] "/api/v1/logs/ingest/batch" Ingest Batch Narrowed;
    InsertLines: [Post] "/insert/jsonline" Ingest Batch Narrowed;

    OpenApi: [Get] "/api/v1/openapi.json" Read Read Narrowed;
    LogsSearch: [Get] "/api/v1/logs/search" Read Read Narrowed;
    LogsServices: [Get] "/api/v1/logs/services" Read Read Narrowed;
    LogsRecent: [Get] "/api/v1/logs/recent/{service}" Read Read Named;
    LogsStats: [Get] "/api/v1/logs/stats/{service}" Read Read Named;
    LogsConfig: [Get] "/api/v1/logs/config/{service}" Read Read Named;
    LogsConfigs: [Get] "/api/v1/logs/configs" Read Read Narrowed;
    LogsSocket: [Get] "/api/v1/logs/ws" Read Read Narrowed;
    LogsById: [Get] "/api/v1/logs/{id}" Read Read Narrowed;
    LogsByIdFull: [Get] "/api/v1/logs/{id}/full" Read Read Narrowed;
    LogsLogsById: [Get] "/api/v1/logs/logs/{id}" Read Read Narrowed;
    LogsLogsByIdFull: [Get] "/api/v1/logs/logs/{id}/full" Read Read Narrowed;

    SelectQuery: [Get, Post] "/select/logsql/query" Read Read Narrowed;
    SelectTail: [Get, Post] "/select/logsql/tail" Read Read Narrowed;
    SelectHits: [Get, Post] "/select/logsql/hits" Read Read Narrowed;
    SelectFacets: [Get, Post] "/select/logsql/facets" Read Read Narrowed;
    SelectStats: [Get, Post] "/select/logsql/stats_query" Read Read Narrowed;
    SelectStatsRange: [Get, Post] "/select/logsql/stats_query_range" Read Read Narrowed;
    SelectFieldNames: [Get, Post] "/select/logsql/field_names" Read Read Narrowed;
    SelectFieldValues: [Get, Post] "/select/logsql/field_values" Read Read Narrowed;
    SelectStreams: [Get, Post] "/select/logsql/streams" Read Read Narrowed;
    SelectStreamIds: [Get, Post] "/select/logsql/stream_ids" Read Read Narrowed;
    SelectStreamFieldNames: [Get, Post] "/select/logsql/stream_field_names" Read Read Narrowed;
    SelectStreamFieldValues: [Get, Post] "/select/logsql/stream_field_values" Read Read Narrowed;
    SelectTenants: [Get, Post] "/select/tenant_ids" Read Read Narrowed;

    LogsConfigPut: [Put] "/api/v1/logs/config/{service}" Admin Admin Refused;
    Keys: [Get] "/api/v1/keys" Admin Admin Refused;
    KeyCreate: [Post] "/api/v1/keys" Admin Admin Refused;
    KeyRevoke: [Delete] "/api/v1/keys/{key}" Admin Admin Refused;
    AdminSeal: [Post] "/api/v1/admin/seal" Admin Admin Refused;
    AdminCompact: [Post] "/api/v1/admin/compact" Admin Admin Refused;
    AdminDelete: [Post] "/api/v1/admin/delete" Admin Admin Refused;
    AdminBackup: [Post] "/api/v1/admin/backup" Admin Admin Refused;
    AdminStorage: [Get] "/api/v1/admin/storage" Admin Admin Refused;
    ArchiveStatus: [Get] "/api/v1/archive/status" Admin Admin Refused;
    ArchiveOffload: [Post] "/api/v1/archive/offload" Admin Admin Refused;
    ArchiveRestore: [Post] "/api/v1/archive/restore" Admin Admin Refused;
    ArchiveCollect: [Post] "/api/v1/archive/collect" Admin Admin Refused;
    ArchiveTakeOver: [Post] "/api/v1/archive/take-over" Admin Admin Refused;
    ArchiveExport: [Post] "/api/v1/archive/export" Admin Admin Refused;
    ArchiveImport: [Post] "/api/v1/archive/import" Ingest Batch Narrowed;
}
