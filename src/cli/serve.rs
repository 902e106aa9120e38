//! `logyard serve`: opens the engine, serves until told to stop, closes it again.
use super::{Failure, ServeArgs};
use crate::config::{Access, Config, Flags, QueryFlags};
use crate::server::{
    BODIES_BYTES_MAX, BodyMemory, Builders, Door, KeyHash, Queries, Server, Tails, listen, load_or_make, router, serve,
    tell_retention,
};
use logyard_storage::engine::{Engine, Options};
use logyard_storage::env::RealEnv;
use logyard_storage::layout::ADMIN_KEY;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether retention removed something.
const LOOK: Duration = Duration::from_secs(60);

/// Runs the server.
pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let query = QueryFlags {
        max_memory: args.query_max_memory,
        max_total_memory: args.query_max_total_memory,
        max_duration: args.query_max_duration,
        max_concurrent: args.query_max_concurrent,
        max_wait: args.query_max_wait,
        max_tails: args.query_max_tails,
    };
    let flags = Flags { data: args.data, listen: args.listen, no_auth: args.no_auth, query };
    let config = Config::new(flags, |name| std::env::var_os(name)).map_err(Failure::Usage)?;
    let env = Arc::new(RealEnv::new());
    let options = Options {
        disk_budget: Some(config.disk_budget),
        when_full: config.when_full,
        query_bytes_max: config.query.memory,
        queries_bytes_max: config.query.total_memory,
        ..Options::new(config.data.clone())
    };
    let default_ttl_days = options.default_ttl_days;
    let engine = Engine::open(Arc::<RealEnv>::clone(&env), options)?;
    let door = door(&config)?;
    let server = Arc::new(Server {
        engine: Arc::clone(&engine),
        env,
        door,
        bodies: BodyMemory::new(BODIES_BYTES_MAX),
        queries: Queries::new(&config.query),
        tails: Tails::new(&config.query),
        builders: Builders::default(),
        default_ttl_days,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = listen(&config.listen).await?;
        eprintln!("listening on http://{}", listener.local_addr()?);
        greet(&config);
        tokio::spawn(watch_retention(Arc::clone(&engine)));
        let tails = Arc::clone(&server);
        tokio::spawn(async move { tails.tails.watch(&tails.engine).await });
        let tails = Arc::clone(&server);
        serve(listener, router(server), || tails.tails.stop()).await
    });
    tell_retention(&engine);
    // Requests that were cut may still be in the engine; closing it waits for them.
    engine.close()?;
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
    eprintln!("data in {}", whole(&config.data).display());
    match config.access {
        Access::Open => eprintln!("no key is asked for (--no-auth)"),
        Access::Key(_) => eprintln!("admin key from LOGYARD_ADMIN_KEY"),
        Access::KeyOfData => eprintln!("admin key in {}", whole(&config.data.join(ADMIN_KEY)).display()),
    }
}
