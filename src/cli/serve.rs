//! `logyard serve`: opens the engine, serves until told to stop, closes it again.
//!
//! Invariants
//! * A configuration that is wrong ends it with 2 before the data directory is opened. `--check-config` opens none and does not
//!   listen.
//! * From the moment at which it begins to listen, the engine is closed whatever ends the serving.
use super::{Failure, ServeArgs};
use crate::config::{self, Access, Config, Flags};
use crate::log;
use crate::open_files;
use crate::server::{
    Admissions, Archives, BodyMemory, Builders, Counters, Door, Gate, KeyHash, Once, Queries, Requests, Server,
    Storing, Tails, Tls, Transfers, WholeBounds, Wish, is_in_file, keep_log, keep_written, listen, load_or_make,
    open_targets, router, serve, tell_retention, tell_troubles, watch_archive, watch_parquet,
};
use logyard_storage::engine::{Engine, Options};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::layout::{ADMIN_KEY, ADMIN_KEY_HASH};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How often it is looked whether retention removed something.
const LOOK: Duration = Duration::from_secs(60);
/// How often what was logged becomes records.
const KEEP: Duration = Duration::from_secs(1);

/// How long work that waits for the network is waited for at the end.
const LEAVE: Duration = Duration::from_secs(1);

/// Runs the server.
pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let flags =
        Flags { settings: args.settings.0, config: args.config, env_file: args.env_file, no_auth: args.no_auth };
    let loaded = config::load(flags, std::env::vars_os());
    let served = loaded.config.as_ref().ok().filter(|_| !args.check_config);
    if let Some(Config { log, .. }) = served {
        log::set_up(log.level, log.format, &log.environment);
    }
    for warning in loaded.warnings {
        match served {
            Some(_) => log::warn(format_args!("{warning}")),
            None => eprintln!("warning: {warning}"),
        }
    }
    let (config, tls) = match (loaded.config, Tls::load(&loaded.tls)) {
        (Ok(config), Ok(tls)) => (config, tls.map(Arc::new)),
        (config, tls) => {
            let faults: Vec<String> = config.err().into_iter().chain(tls.err()).flatten().collect();
            return Err(Failure::configuration(&faults));
        }
    };
    if args.check_config {
        eprintln!("the configuration is right");
        return Ok(());
    }
    if let Err(missing) = open_files::raise(config.server.max_connections) {
        log::warn(format_args!("{missing}"));
    }
    let env = Arc::new(RealEnv::new());
    let targets = open_targets(&config.archive, &(Arc::<RealEnv>::clone(&env) as Arc<dyn Env>))?;
    let options = Options {
        default_ttl_days: config.retention.default_ttl_days,
        disk_budget: Some(config.retention.disk_budget),
        when_full: config.retention.when_full,
        flush_interval: config.wal.flush_interval,
        maintenance_bytes_per_second: config.maintenance.bytes_per_second as u64,
        query_bytes_max: config.query.max_memory,
        queries_bytes_max: config.query.max_total_memory,
        archive: targets.clone(),
        cold_cache_bytes: config.archive.cold_cache,
        cold_index_bytes: config.archive.local_index_budget as u64,
        ..Options::new(config.data.clone())
    };
    let engine = Engine::open(Arc::<RealEnv>::clone(&env), options)?;
    let with_parquet = config.archive.targets.iter().filter(|target| target.parquet);
    let wish = |target: &config::ArchiveTarget| Wish { target: target.name.clone(), after: target.parquet_after };
    let wishes = with_parquet.map(wish).collect();
    let gate = Gate::new(door(&config)?, &config.gate, &engine);
    let server = Arc::new(Server {
        engine: Arc::clone(&engine),
        archives: Archives::new(targets, config.archive.ack_timeout),
        env,
        gate,
        bodies: BodyMemory::new(config.server.max_bodies_memory),
        whole: WholeBounds { most: config.server.max_body, wait: config.server.body_timeout },
        requests: Arc::new(Semaphore::new(config.server.max_requests)),
        queries: Queries::new(&config.query),
        tails: Tails::new(&config.query, &config.server),
        builders: Builders::new(std::thread::available_parallelism().map_or(1, usize::from)),
        requests_seen: Requests::default(),
        began: Instant::now(),
        once: Once::new(config.ingest.max_idempotency_keys),
        transfers: Transfers::new(wishes),
        ingest: config.ingest.clone(),
        storing: Storing::default(),
        admissions: Admissions::default(),
        counters: Counters::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = listen(&config.listen).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        log::greet(format_args!("listening on {scheme}://{}", listener.local_addr()?));
        greet(&config);
        tokio::spawn(watch_retention(Arc::clone(&engine)));
        tokio::spawn(watch_log(Arc::clone(&engine)));
        let tails = Arc::clone(&server);
        tokio::spawn(async move { tails.tails.watch(&tails.engine).await });
        tokio::spawn(keep_written(Arc::clone(&server)));
        tokio::spawn(watch_archive(Arc::clone(&server)));
        tokio::spawn(watch_parquet(Arc::clone(&server)));
        let (tails, ids) = (Arc::clone(&server), Arc::clone(&server.env));
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).watch(config.tls.reload_interval));
        }
        serve(listener, router(Arc::clone(&server)), config.server.clone(), tls, ids, || tails.tails.stop()).await
    });
    tell_retention(&engine);
    server.gate.write_down(&engine);
    log::aside(log::Level::Info, format_args!("stopped serving"));
    keep_log(&engine);
    // Requests that were cut may still be in the engine; closing it waits for them.
    engine.close()?;
    // What still waits for the network changes nothing here any more.
    runtime.shutdown_timeout(LEAVE);
    served.map_err(|e| Failure::Failed(format!("cannot serve on {:?}: {e}", config.listen)))
}

/// Has what retention removed told and logged, while the server runs.
async fn watch_retention(engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let engine = Arc::clone(&engine);
        // It fails only by a panic, of which the panic itself has told.
        let _is_told = tokio::task::spawn_blocking(move || tell_retention(&engine)).await;
    }
}

/// Has what was logged, and what the engine found wrong, told and kept, while the server runs.
async fn watch_log(engine: Arc<Engine>) {
    let told = Arc::new(Mutex::new(BTreeSet::new()));
    loop {
        let (engine, told) = (Arc::clone(&engine), Arc::clone(&told));
        let keep = move || {
            tell_troubles(&engine, &told);
            keep_log(&engine);
        };
        // It fails only by a panic, of which the panic itself has told.
        let _is_kept = tokio::task::spawn_blocking(keep).await;
        tokio::time::sleep(KEEP).await;
    }
}

fn door(config: &Config) -> Result<Door, Failure> {
    Ok(match &config.access {
        Access::Open => Door::Open,
        Access::Key(key) => Door::Key(KeyHash::of(key)),
        Access::KeyOfData => Door::Key(load_or_make(&config.data)?),
    })
}

/// Says where things are.
fn greet(config: &Config) {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    log::greet(format_args!("data in {}", whole(&config.data).display()));
    match config.access {
        Access::Open => log::greet(format_args!("no key is asked for (--no-auth)")),
        Access::Key(_) => log::greet(format_args!("admin key from the configuration")),
        Access::KeyOfData => {
            let file = whole(&config.data.join(ADMIN_KEY));
            if is_in_file(&config.data) {
                log::greet(format_args!("admin key in {}", file.display()));
            } else {
                let hash = whole(&config.data.join(ADMIN_KEY_HASH));
                log::greet(format_args!(
                    "admin key known by its hash in {}, and not in {}; if it is lost, remove both and start again, which makes \
                     another",
                    hash.display(),
                    file.display()
                ));
            }
        }
    }
}
