//! The one wasmtime engine: its settings, and the thread that moves its epoch.

mod ticker;

pub(crate) use ticker::{Running, Ticker};

use crate::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Elements of one table of a component. Interpreters compiled to wasm need tens of thousands.
pub(crate) const TABLE_ELEMENTS: usize = 60_000;

/// What `limits.memory-bytes` may be at most: the pool's slots are this large (address space, not memory).
pub(crate) const MAX_MEMORY_BYTES: usize = 256 << 20;

/// Linear memories of one component: every toolchain for components makes one. The pool has one for each sandbox, so that a
/// component with many can't take those of the others.
const MEMORIES: u32 = 1;
/// Tables of one component: its own, and those that join its modules.
const TABLES: u32 = 4;
/// Core modules at work in one component. Interpreters bring their libraries as modules.
const CORE_INSTANCES: u32 = 64;

/// Sandboxes beyond the semaphore's: for describing plugins and checking configurations.
pub(crate) const SPARE_SANDBOXES: u32 = 32;

/// Sandboxes that wait for the next call of their instance, of all instances together.
pub(crate) const KEPT_SANDBOXES: u32 = 16;

/// Settings that shape compiled code. The child that compiles uses exactly these.
fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.concurrency_support(false);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    // Names of functions are enough to tell a trap; tables for debuggers would be a sixth of each artefact.
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config
}

/// Measured to be the fastest: what a slot touched is cleared and kept instead of being handed back to the kernel. Up to a mebibyte, which
/// is more than most calls touch: the access to what was grown is taken away before the next call, and where that is memory in use
/// the kernel holds the memory map of the whole process for as long as it takes to go through it, page by page.
fn pool(sandboxes: u32) -> PoolingAllocationConfig {
    let slots = sandboxes.saturating_add(SPARE_SANDBOXES).saturating_add(KEPT_SANDBOXES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY_BYTES)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(256 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// An engine that runs guests. Without the address space for the pool it allocates on demand, several times slower.
pub(crate) fn engine(sandboxes: u32) -> Result<Engine, Error> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(sandboxes)));
    match Engine::new(&pooled) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(%error, "no address space for the pool of sandboxes: calls will be slower; hint: lift `ulimit -v`");
            compiler()
        }
    }
}

/// An engine that only compiles: the same code comes out, no pool is reserved.
pub(crate) fn compiler() -> Result<Engine, Error> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config).map_err(|error| Error::Engine { reason: format!("{error:#}") })
}

/// Names what compiled code depends on: artefacts of another hash can't be used.
pub(crate) fn hash(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
