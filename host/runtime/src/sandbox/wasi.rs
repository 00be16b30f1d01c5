//! WASI for a sandbox: no environment, no arguments, no files, no sockets; standard output goes to the log. Calls that decide see
//! clocks that stand at the time of the input, can't sleep, and draw randomness that the call seeds.

use super::Sandbox;
use super::stdio::{LogStream, Printer};
use rand::RngCore;
use wasmtime::component::{HasData, HasSelf, Linker, Resource};
use wasmtime::format_err;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Random bytes that one host call may ask for.
const MAX_RANDOM_BYTES: u64 = 1 << 20;

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (instance, digest) = (self.instance.clone(), self.plugin.digest.clone());
        let (printer, quota) = (Printer { instance, digest, doors: self.doors.clone() }, &self.quota);
        let stderr = self.stderr.get_or_insert_with(|| LogStream::new(printer.clone(), quota.clone())).clone();
        let stdout = self.stdout.get_or_insert_with(|| LogStream::new(printer, quota.clone())).clone();
        let ctx = self.wasi.get_or_insert_with(|| {
            WasiCtx::builder()
                .stdout(stdout)
                .stderr(stderr)
                .allow_ip_name_lookup(false)
                .allow_tcp(false)
                .allow_udp(false)
                .socket_addr_check(|_, _| Box::pin(async { false }))
                .max_random_size(MAX_RANDOM_BYTES)
                .build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// Links all of WASI 0.2, with our clocks and randomness in place of the ordinary ones.
pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, Clocks>(linker, |sandbox| ClocksView(sandbox))?;
    monotonic_clock::add_to_linker::<_, Clocks>(linker, |sandbox| ClocksView(sandbox))?;
    random::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    insecure::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    insecure_seed::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Clocks;

impl HasData for Clocks {
    type Data<'a> = ClocksView<'a>;
}

struct ClocksView<'a>(&'a mut Sandbox);

impl ClocksView<'_> {
    fn standing_millis(&self) -> Option<u64> {
        self.0.pure.then(|| u64::try_from(self.0.now.as_millis()).unwrap_or(0))
    }
}

impl wall_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        match self.standing_millis() {
            Some(millis) => Ok(wall_clock::Datetime {
                seconds: millis / 1000,
                nanoseconds: u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000,
            }),
            None => wall_clock::Host::now(&mut self.0.clocks()),
        }
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        match self.standing_millis() {
            Some(millis) => Ok(millis.saturating_mul(1_000_000)),
            None => monotonic_clock::Host::now(&mut self.0.clocks()),
        }
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, when: monotonic_clock::Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.refuse_sleep()?;
        self.0.clocks().subscribe_instant(when)
    }

    fn subscribe_duration(&mut self, length: monotonic_clock::Duration) -> wasmtime::Result<Resource<DynPollable>> {
        self.refuse_sleep()?;
        self.0.clocks().subscribe_duration(length)
    }
}

impl ClocksView<'_> {
    fn refuse_sleep(&self) -> wasmtime::Result<()> {
        if self.0.pure { Err(format_err!("a kind that decides can't sleep")) } else { Ok(()) }
    }
}

impl Sandbox {
    fn draw(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_RANDOM_BYTES {
            return Err(format_err!("{length} random bytes are more than the {MAX_RANDOM_BYTES} of one request"));
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        if self.pure {
            let mut seed = blake3::Hasher::new_derive_key("quarterdeck 2025 randomness of a call that decides");
            seed.update(self.plugin.digest.0.as_bytes());
            seed.update(&self.now.as_millis().to_le_bytes());
            let mut stream = seed.finalize_xof();
            stream.set_position(self.random_bytes_drawn);
            stream.fill(bytes);
            self.random_bytes_drawn += bytes.len() as u64;
            return Ok(());
        }
        rand::rng().fill_bytes(bytes);
        Ok(())
    }

    fn draw_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl random::Host for Sandbox {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.draw(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.draw_u64()
    }
}

impl insecure::Host for Sandbox {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.draw(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.draw_u64()
    }
}

impl insecure_seed::Host for Sandbox {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.draw_u64()?, self.draw_u64()?))
    }
}
