#![expect(unreachable_pub, reason = "the benchmark takes this file, too")]

//! Guests as core WebAssembly text, wrapped into components of this host's interfaces.

use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a collector does when it is called.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// Answers with an empty collection.
    Well,
    Trap,
    Loop,
    EatMemory,
    /// The same, and writes to every byte of it.
    FillMemory,
    /// Writes into the log again and again.
    CallTheHost,
    OverflowStack,
    /// Answers with a message of 60 MiB.
    Giant,
    /// Answers with a message of 4,000,000 bytes: a little less than may be handed over.
    Large,
    /// Answers with a message that is said to be a gigabyte long: more than a guest can have.
    Gigabyte,
    /// Loops from this time of the input on.
    LoopAt(i64),
    /// Traps, unless the configuration is longer than `{}`.
    TrapUnlessConfigured,
}

impl Does {
    fn calls_the_host(self) -> bool {
        matches!(self, Does::CallTheHost)
    }

    /// Body of `(param $config i32) (param $length i32) (param $now i64) (result i32)`.
    fn body(self) -> String {
        let body = match self {
            Does::LoopAt(at) => {
                return format!(
                    "(if (i64.ge_s (local.get $now) (i64.const {at})) (then (loop $again (br $again)))) i32.const 512"
                );
            }
            Does::Well => "i32.const 512",
            Does::Trap => "unreachable",
            Does::Loop => "(loop $again (br $again)) unreachable",
            Does::EatMemory => {
                "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"
            }
            Does::FillMemory => {
                "(loop $again
                    (local.set $config (memory.grow (i32.const 1)))
                    (if (i32.ne (local.get $config) (i32.const -1)) (then
                        (memory.fill (i32.shl (local.get $config) (i32.const 16)) (i32.const 1) (i32.const 65536))
                        (br $again))))
                 unreachable"
            }
            Does::CallTheHost => {
                "(loop $again (call $write (i32.const 3) (i32.const 1024) (i32.const 1)) (br $again)) unreachable"
            }
            Does::OverflowStack => "(call $deep (i32.const 0)) ",
            Does::Giant => {
                "(drop (memory.grow (i32.const 960)))
                 (i32.store (i32.const 532) (i32.const 4096)) (i32.store (i32.const 536) (i32.const 62914560))
                 i32.const 512"
            }
            Does::Large => {
                "(drop (memory.grow (i32.const 62)))
                 (i32.store (i32.const 532) (i32.const 4096)) (i32.store (i32.const 536) (i32.const 4000000))
                 i32.const 512"
            }
            Does::Gigabyte => {
                "(i32.store (i32.const 532) (i32.const 4096)) (i32.store (i32.const 536) (i32.const 1073741824))
                 i32.const 512"
            }
            Does::TrapUnlessConfigured => {
                "(if (i32.lt_u (local.get $length) (i32.const 3)) (then unreachable)) i32.const 512"
            }
        };
        body.to_owned()
    }
}

pub struct Collector {
    pub name: &'static str,
    pub version: &'static str,
    pub does: Does,
    /// What `describe` does before it answers.
    pub describe: &'static str,
    /// What `validate-configuration` does before it has nothing against it.
    pub validate: &'static str,
    /// It imports the clock, for [`UNTIL_100`].
    pub clock: bool,
    pub schema: &'static str,
    /// A capability that it can't do without.
    pub needs: Option<&'static str>,
    /// Version of its collector interface.
    pub interface: &'static str,
    pub exports_plugin: bool,
}

impl Default for Collector {
    fn default() -> Self {
        Collector {
            name: "guest",
            version: "1.0.0",
            does: Does::Well,
            describe: "",
            validate: "",
            clock: false,
            schema: r#"{"type": "object"}"#,
            needs: None,
            interface: "0.1.0",
            exports_plugin: true,
        }
    }
}

/// Loops until its clock shows a hundred seconds.
pub const UNTIL_100: &str = "(call $now (i32.const 2560))
    (if (i64.lt_u (i64.load (i32.const 2560)) (i64.const 100)) (then (loop $again (br $again))))";

/// A collector of that name and version.
pub fn collector(name: &'static str, version: &'static str, does: Does) -> Vec<u8> {
    Collector { name, version, does, ..Collector::default() }.build()
}

const LOG: &str = r#"(import "quarterdeck:host/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#;
const CLOCK: &str = r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))"#;

/// Places of texts in the guest's memory, by pointer.
const NAME: usize = 1024;
const VERSION: usize = 1280;
const SCHEMA: usize = 1536;
const CAPABILITY: usize = 3072;

impl Collector {
    pub fn build(&self) -> Vec<u8> {
        let plugin = if self.exports_plugin { self.plugin_functions() } else { String::new() };
        let module = format!(
            r#"(module
                {clock}
                {log}
                (memory (export "memory") 2)
                {data}
                (global $free (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    global.get $free
                    (global.set $free (i32.add (global.get $free) (local.get 3))))
                (func $deep (param i32) (result i32)
                    (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
                {plugin}
                (func (export "quarterdeck:collector/collector@{interface}#collect")
                    (param $config i32) (param $length i32) (param $now i64) (result i32)
                    {body}))"#,
            clock = if self.clock { CLOCK } else { "" },
            log = if self.does.calls_the_host() { LOG } else { "" },
            data = self.data(),
            interface = self.interface,
            body = self.does.body(),
        );
        let export = if self.exports_plugin { "export quarterdeck:plugin/plugin@0.1.0;" } else { "" };
        let clock = if self.clock { "import wasi:clocks/wall-clock@0.2.0;" } else { "" };
        let log = if self.does.calls_the_host() { "import quarterdeck:host/log@0.1.0;" } else { "" };
        let world = format!(
            "package test:guest; world guest {{ {clock} {log} {export} export quarterdeck:collector/collector@{}; }}",
            self.interface
        );
        component(&module, &world, self.interface)
    }

    fn plugin_functions(&self) -> String {
        // The record of `describe` at 256: five pointers and lengths; the capability at 3072 is two texts and a flag.
        let store = |at: usize, value: usize| format!("(i32.store (i32.const {at}) (i32.const {value}))\n");
        let needs = self.needs.unwrap_or_default();
        let fields = [
            (256, NAME),
            (260, self.name.len()),
            (264, VERSION),
            (268, self.version.len()),
            (272, NAME),
            (276, self.name.len()),
            (280, SCHEMA),
            (284, self.schema.len()),
            (288, CAPABILITY),
            (292, usize::from(self.needs.is_some())),
            (CAPABILITY, CAPABILITY + 64),
            (CAPABILITY + 4, needs.len()),
            (CAPABILITY + 8, NAME),
            (CAPABILITY + 12, self.name.len()),
        ];
        let stores: String = fields.into_iter().map(|(at, value)| store(at, value)).collect();
        format!(
            r#"(func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
                {describe}
                {stores}
                i32.const 256)
               (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
                {validate}
                i32.const 512)"#,
            describe = self.describe,
            validate = self.validate,
        )
    }

    fn data(&self) -> String {
        let texts = [
            (NAME, self.name),
            (VERSION, self.version),
            (SCHEMA, self.schema),
            (CAPABILITY + 64, self.needs.unwrap_or_default()),
        ];
        texts
            .into_iter()
            .map(|(at, text)| format!("(data (i32.const {at}) \"{}\")\n", text.replace('"', "\\\"")))
            .collect()
    }
}

/// A detector whose state is what WASI's random source and wall clock gave it.
pub fn curious_detector() -> Vec<u8> {
    let module = r#"(module
        (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
        (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (data (i32.const 1024) "curious")
        (data (i32.const 1040) "1.0.0")
        (data (i32.const 1056) "{}")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            global.get $free
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
            (i32.store (i32.const 256) (i32.const 1024)) (i32.store (i32.const 260) (i32.const 7))
            (i32.store (i32.const 264) (i32.const 1040)) (i32.store (i32.const 268) (i32.const 5))
            (i32.store (i32.const 280) (i32.const 1056)) (i32.store (i32.const 284) (i32.const 2))
            i32.const 256)
        (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
            i32.const 512)
        (func (export "quarterdeck:detector/detector@0.2.0#evaluate")
            (param i32 i32 i64 i64 i32 i32 i32 i32 i32) (result i32)
            (call $now (i32.const 2064))
            (i64.store (i32.const 2048) (call $random))
            (i64.store (i32.const 2056) (call $random))
            (i32.store8 (i32.const 528) (i32.const 1))
            (i32.store (i32.const 532) (i32.const 2048))
            (i32.store (i32.const 536) (i32.const 32))
            i32.const 512))"#;
    let world = "package test:guest; world guest {
        import wasi:random/random@0.2.0; import wasi:clocks/wall-clock@0.2.0;
        export quarterdeck:plugin/plugin@0.1.0; export quarterdeck:detector/detector@0.2.0; }";
    component(module, world, "0.1.0")
}

/// A detector whose state is what WASI's monotonic clock shows, and what comes of arithmetic that processors do differently: NaNs, as
/// 0/0 in both widths, with a payload that is added to and that is demoted; and relaxed SIMD. At 9,000 it wants to sleep for a while, at
/// 9,001 until a moment.
pub fn exact_detector() -> Vec<u8> {
    // At 1088 a NaN with a payload; zeros at 1120; a table and indices into it; what no integer can be; what a fused product tells.
    let module = r#"(module
        (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $for (param i64) (result i32)))
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-instant" (func $until (param i64) (result i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (data (i32.const 1024) "exact")
        (data (i32.const 1040) "1.0.0")
        (data (i32.const 1056) "{}")
        (data (i32.const 1088) "\23\01\00\00\00\00\fc\7f")
        (data (i32.const 1136) "\01\02\03\04\05\06\07\08\09\0a\0b\0c\0d\0e\0f\10")
        (data (i32.const 1152) "\00\0f\10\1f\7f\80\ff\01\00\00\00\00\00\00\00\00")
        (data (i32.const 1168) "\00\00\c0\7f\5e\d0\32\4f\00\00\c0\bf\5e\d0\32\cf")
        (data (i32.const 1184) "\00\08\80\3f\00\10\80\bf")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            global.get $free
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
            (i32.store (i32.const 256) (i32.const 1024)) (i32.store (i32.const 260) (i32.const 5))
            (i32.store (i32.const 264) (i32.const 1040)) (i32.store (i32.const 268) (i32.const 5))
            (i32.store (i32.const 280) (i32.const 1056)) (i32.store (i32.const 284) (i32.const 2))
            i32.const 256)
        (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
            i32.const 512)
        (func (export "quarterdeck:detector/detector@0.2.0#evaluate")
            (param i32 i32) (param $at i64) (param i64 i32 i32 i32 i32 i32) (result i32)
            (if (i64.eq (local.get $at) (i64.const 9000)) (then (drop (call $for (i64.const 1000000000)))))
            (if (i64.eq (local.get $at) (i64.const 9001)) (then (drop (call $until (i64.const 10000000000)))))
            (i64.store (i32.const 2048) (call $now))
            (f64.store (i32.const 2056) (f64.div (f64.load (i32.const 1120)) (f64.load (i32.const 1120))))
            (f64.store (i32.const 2064) (f64.add (f64.load (i32.const 1088)) (f64.const 1)))
            (f32.store (i32.const 2072) (f32.div (f32.load (i32.const 1120)) (f32.load (i32.const 1120))))
            (f32.store (i32.const 2076) (f32.demote_f64 (f64.load (i32.const 1088))))
            (v128.store (i32.const 2080)
                (i8x16.relaxed_swizzle (v128.load (i32.const 1136)) (v128.load (i32.const 1152))))
            (v128.store (i32.const 2096) (i32x4.relaxed_trunc_f32x4_s (v128.load (i32.const 1168))))
            (v128.store (i32.const 2112)
                (f32x4.relaxed_madd
                    (v128.load32_splat (i32.const 1184)) (v128.load32_splat (i32.const 1184))
                    (v128.load32_splat (i32.const 1188))))
            (i32.store8 (i32.const 528) (i32.const 1))
            (i32.store (i32.const 532) (i32.const 2048))
            (i32.store (i32.const 536) (i32.const 80))
            i32.const 512))"#;
    let world = "package test:guest; world guest {
        import wasi:clocks/monotonic-clock@0.2.0;
        export quarterdeck:plugin/plugin@0.1.0; export quarterdeck:detector/detector@0.2.0; }";
    component(module, world, "0.1.0")
}

/// A detector, named `judge` unless it is named otherwise. It signals from a time of the input on, and traps or loops from another on.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// Of five letters.
    pub name: &'static str,
    pub version: &'static str,
    pub signals_from: i64,
    pub traps_from: i64,
    pub loops_from: i64,
    /// What it hands back to itself.
    pub state: u8,
    /// Version of its detector interface.
    pub interface: &'static str,
}

impl Default for Judge {
    fn default() -> Self {
        let never = i64::MAX;
        let interface = "0.2.0";
        Judge {
            name: "judge",
            version: "1.0.0",
            signals_from: never,
            traps_from: never,
            loops_from: never,
            state: 1,
            interface,
        }
    }
}

impl Judge {
    pub fn build(self) -> Vec<u8> {
        let Judge { name, version, signals_from, traps_from, loops_from, state, interface } = self;
        assert_eq!((name.len(), version.len()), (5, 5));
        let module = format!(
            r#"(module
            (memory (export "memory") 2)
            (global $free (mut i32) (i32.const 65536))
            (data (i32.const 1024) "{name}")
            (data (i32.const 1040) "{version}")
            (data (i32.const 1056) "{{}}")
            (data (i32.const 1072) "busy")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                global.get $free
                (global.set $free (i32.add (global.get $free) (local.get 3))))
            (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
                (i32.store (i32.const 256) (i32.const 1024)) (i32.store (i32.const 260) (i32.const 5))
                (i32.store (i32.const 264) (i32.const 1040)) (i32.store (i32.const 268) (i32.const 5))
                (i32.store (i32.const 280) (i32.const 1056)) (i32.store (i32.const 284) (i32.const 2))
                i32.const 256)
            (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
                i32.const 512)
            (func (export "quarterdeck:detector/detector@{interface}#evaluate")
                (param $config i32) (param $length i32) (param $now i64) (param i64 i32 i32 i32 i32 i32) (result i32)
                (if (i64.ge_s (local.get $now) (i64.const {traps_from})) (then unreachable))
                (if (i64.ge_s (local.get $now) (i64.const {loops_from})) (then (loop $again (br $again))))
                (if (i64.ge_s (local.get $now) (i64.const {signals_from})) (then
                    (i32.store (i32.const 520) (i32.const 2048)) (i32.store (i32.const 524) (i32.const 1))
                    (f64.store (i32.const 2056) (f64.const 1))
                    (i32.store (i32.const 2080) (i32.const 1072)) (i32.store (i32.const 2084) (i32.const 4))))
                (i32.store8 (i32.const 528) (i32.const 1))
                (i32.store8 (i32.const 3072) (i32.const {state}))
                (i32.store (i32.const 532) (i32.const 3072)) (i32.store (i32.const 536) (i32.const 1))
                i32.const 512))"#
        );
        let world = format!(
            "package test:guest; world guest {{
            export quarterdeck:plugin/plugin@0.1.0; export quarterdeck:detector/detector@{interface}; }}"
        );
        // The record of a verdict has grown at its end, where this guest's memory is zero.
        component_of(&module, &world, "0.1.0", interface)
    }
}

/// A collector and a detector that count the calls of their sandbox: in the length of a message, in a state. Asks to be reused for so
/// many calls; traps at 666.
pub fn counting(reuse: Option<u32>) -> Vec<u8> {
    let asks = reuse.map_or_else(String::new, |calls| {
        format!(r#"(func (export "quarterdeck:plugin/reuse@0.1.0#calls") (result i32) i32.const {calls})"#)
    });
    let module = format!(
        r#"(module
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (global $calls (mut i32) (i32.const 0))
        (data (i32.const 1024) "counting")
        (data (i32.const 1040) "1.0.0")
        (data (i32.const 1056) "{{}}")
        (data (i32.const 2048) "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        (func $count (result i32) (global.set $calls (i32.add (global.get $calls) (i32.const 1))) global.get $calls)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            global.get $free
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        {asks}
        (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
            (i32.store (i32.const 256) (i32.const 1024)) (i32.store (i32.const 260) (i32.const 8))
            (i32.store (i32.const 264) (i32.const 1040)) (i32.store (i32.const 268) (i32.const 5))
            (i32.store (i32.const 280) (i32.const 1056)) (i32.store (i32.const 284) (i32.const 2))
            i32.const 256)
        (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
            i32.const 512)
        (func (export "quarterdeck:collector/collector@0.1.0#collect")
            (param i32 i32) (param $now i64) (result i32)
            (if (i64.eq (local.get $now) (i64.const 666)) (then unreachable))
            (i32.store (i32.const 532) (i32.const 2048)) (i32.store (i32.const 536) (call $count))
            i32.const 512)
        (func (export "quarterdeck:detector/detector@0.2.0#evaluate")
            (param i32 i32 i64 i64 i32 i32 i32 i32 i32) (result i32)
            (i32.store8 (i32.const 3072) (call $count))
            (i32.store8 (i32.const 528) (i32.const 1))
            (i32.store (i32.const 532) (i32.const 3072)) (i32.store (i32.const 536) (i32.const 1))
            i32.const 512))"#
    );
    let asks = if reuse.is_some() { "export quarterdeck:plugin/reuse@0.1.0;" } else { "" };
    let world = format!(
        "package test:guest; world guest {{ {asks} export quarterdeck:plugin/plugin@0.1.0;
        export quarterdeck:collector/collector@0.1.0; export quarterdeck:detector/detector@0.2.0; }}"
    );
    component(&module, &world, "0.1.0")
}

/// A collector that asks to be reused and holds on to what a call had. At 1 it connects to that port of 127.0.0.1, and at 1 and 2 it says
/// `ping` to whom it has connected to last; its message is the answer, or why there is none. At 3 it writes a key and fails. Whoever has
/// connected to nobody traps at 2.
pub fn hoarding(port: u16) -> Vec<u8> {
    let module = format!(
        r#"(module
        (import "quarterdeck:host/tcp@0.1.0" "[static]connection.connect" (func $connect (param i32 i32 i32 i32 i32)))
        (import "quarterdeck:host/tcp@0.1.0" "[method]connection.read" (func $read (param i32 i32 i32)))
        (import "quarterdeck:host/tcp@0.1.0" "[method]connection.write" (func $write (param i32 i32 i32 i32)))
        (import "quarterdeck:host/kv@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (global $held (mut i32) (i32.const 0))
        (data (i32.const 1024) "hoarding")
        (data (i32.const 1040) "1.0.0")
        (data (i32.const 1056) "{{}}")
        (data (i32.const 1072) "127.0.0.1")
        (data (i32.const 1088) "ping")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            global.get $free
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func $say (param i32 i32)
            (i32.store (i32.const 532) (local.get 0)) (i32.store (i32.const 536) (local.get 1)))
        (func $failed (result i32)
            (if (i32.load8_u (i32.const 2560)) (then
                (call $say (i32.load (i32.const 2568)) (i32.load (i32.const 2572)))))
            (i32.load8_u (i32.const 2560)))
        (func (export "quarterdeck:plugin/reuse@0.1.0#calls") (result i32) i32.const 100)
        (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
            (i32.store (i32.const 256) (i32.const 1024)) (i32.store (i32.const 260) (i32.const 8))
            (i32.store (i32.const 264) (i32.const 1040)) (i32.store (i32.const 268) (i32.const 5))
            (i32.store (i32.const 280) (i32.const 1056)) (i32.store (i32.const 284) (i32.const 2))
            i32.const 256)
        (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
            i32.const 512)
        (func (export "quarterdeck:collector/collector@0.1.0#collect")
            (param i32 i32) (param $now i64) (result i32)
            (i64.store (i32.const 512) (i64.const 0)) (i64.store (i32.const 520) (i64.const 0))
            (i32.store (i32.const 528) (i32.const 0)) (call $say (i32.const 0) (i32.const 0))
            (if (i64.eq (local.get $now) (i64.const 3)) (then
                (call $set (i32.const 1088) (i32.const 4) (i32.const 1088) (i32.const 4) (i32.const 2560))
                (i32.store8 (i32.const 512) (i32.const 1)) (i32.store8 (i32.const 520) (i32.const 2))
                (i32.store (i32.const 528) (i32.const 1088)) (i32.store (i32.const 532) (i32.const 4))
                (return (i32.const 512))))
            (if (i64.eq (local.get $now) (i64.const 1)) (then
                (call $connect
                    (i32.const 0) (i32.const 1072) (i32.const 9) (i32.const {port}) (i32.const 2560))
                (if (call $failed) (then (return (i32.const 512))))
                (global.set $held (i32.load (i32.const 2564)))))
            (if (i64.le_s (local.get $now) (i64.const 2)) (then
                (call $write (global.get $held) (i32.const 1088) (i32.const 4) (i32.const 2560))
                (if (call $failed) (then (return (i32.const 512))))
                (call $read (global.get $held) (i32.const 4) (i32.const 2560))
                (if (call $failed) (then (return (i32.const 512))))
                (call $say (i32.load (i32.const 2564)) (i32.load (i32.const 2568)))))
            i32.const 512))"#
    );
    let world = "package test:guest; world guest {
        import quarterdeck:host/tcp@0.1.0; import quarterdeck:host/kv@0.1.0;
        export quarterdeck:plugin/reuse@0.1.0; export quarterdeck:plugin/plugin@0.1.0;
        export quarterdeck:collector/collector@0.1.0; }";
    component(&module, world, "0.1.0")
}

/// A scanner rule and a calculator that tell what WASI's wall clock showed them, in seconds: as the size that the rule takes, the
/// partial result of a merge, and the good events of an attainment. A scan traps unless it is 7.
pub fn punctual() -> Vec<u8> {
    let module = r#"(module
        (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (data (i32.const 1024) "punctual")
        (data (i32.const 1040) "1.0.0")
        (data (i32.const 1056) "{}")
        (func $seconds (result i64) (call $now (i32.const 2064)) (i64.load (i32.const 2064)))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            global.get $free
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32)
            (i32.store (i32.const 256) (i32.const 1024)) (i32.store (i32.const 260) (i32.const 8))
            (i32.store (i32.const 264) (i32.const 1040)) (i32.store (i32.const 268) (i32.const 5))
            (i32.store (i32.const 280) (i32.const 1056)) (i32.store (i32.const 284) (i32.const 2))
            i32.const 256)
        (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32)
            i32.const 512)
        (func (export "quarterdeck:scanner-rule/scanner-rule@0.1.0#interests") (param i32 i32) (result i32)
            (i64.store (i32.const 544) (call $seconds))
            i32.const 512)
        (func (export "quarterdeck:scanner-rule/scanner-rule@0.1.0#scan") (param i32 i32 i32 i32) (result i32)
            (if (i64.ne (call $seconds) (i64.const 7)) (then unreachable))
            i32.const 512)
        (func (export "quarterdeck:sla-calculator/sla-calculator@0.1.0#fold")
            (param i32 i32 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            unreachable)
        (func (export "quarterdeck:sla-calculator/sla-calculator@0.1.0#merge")
            (param i32 i32 i32 i32 i32 i32) (result i32)
            (drop (call $seconds))
            (i32.store (i32.const 520) (i32.const 2064)) (i32.store (i32.const 524) (i32.const 8))
            i32.const 512)
        (func (export "quarterdeck:sla-calculator/sla-calculator@0.1.0#finish") (param i32 i32 i32 i32) (result i32)
            (f64.store (i32.const 520) (f64.convert_i64_u (call $seconds)))
            i32.const 512))"#;
    let world = "package test:guest; world guest { import wasi:clocks/wall-clock@0.2.0;
        export quarterdeck:plugin/plugin@0.1.0; export quarterdeck:scanner-rule/scanner-rule@0.1.0;
        export quarterdeck:sla-calculator/sla-calculator@0.1.0; }";
    component(module, world, "0.1.0")
}

/// A component that imports what no host provides.
pub fn demanding() -> Vec<u8> {
    importing("acme:rockets/launch@1.0.0")
}

/// A component that calls `fire` of that interface: one of the packages below.
pub fn importing(interface: &str) -> Vec<u8> {
    let module = r#"(module
        (import "INTERFACE" "fire" (func $fire))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "quarterdeck:plugin/plugin@0.1.0#describe") (result i32) unreachable)
        (func (export "quarterdeck:plugin/plugin@0.1.0#validate-configuration") (param i32 i32) (result i32) unreachable)
        (func (export "quarterdeck:collector/collector@0.1.0#collect") (param i32 i32 i64) (result i32)
            call $fire unreachable))"#;
    let world = "package test:guest; world guest { import INTERFACE;
        export quarterdeck:plugin/plugin@0.1.0; export quarterdeck:collector/collector@0.1.0; }";
    component(&module.replace("INTERFACE", interface), &world.replace("INTERFACE", interface), "0.1.0")
}

pub(super) fn component(module: &str, world: &str, collector: &str) -> Vec<u8> {
    component_of(module, world, collector, "0.2.0")
}

/// With these versions of the collector's and of the detector's interface. Those of a version that there never was are as they are now.
fn component_of(module: &str, world: &str, interface: &str, detector: &str) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    for package in ["types", "host", "plugin", "scanner-rule", "sla-calculator"] {
        resolve.push_dir(wit.join(package)).unwrap();
    }
    let file = if detector == "0.1.0" { "compat/detector-0.1.0/detector.wit" } else { "detector/detector.wit" };
    let text = std::fs::read_to_string(wit.join(file)).unwrap();
    resolve.push_str("detector.wit", &text.replace("detector@0.2.0", &format!("detector@{detector}"))).unwrap();
    let collector = std::fs::read_to_string(wit.join("collector/collector.wit")).unwrap();
    let collector = collector.replace("collector@0.1.0", &format!("collector@{interface}"));
    resolve.push_str("collector.wit", &collector).unwrap();
    for other in [
        "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }",
        "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } } interface error { resource error; }
         interface streams { use error.{error}; variant stream-error { last-operation-failed(error), closed }
         resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; } }",
        include_str!("http.wit"),
        "package wasi:clocks@0.2.0; interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
         interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; now: func() -> u64;
         subscribe-instant: func(when: u64) -> pollable; subscribe-duration: func(when: u64) -> pollable; }",
        "package acme:rockets@1.0.0; interface launch { fire: func(); }",
        "package quarterdeck:host@0.2.0; interface kv { fire: func(); }",
        "package quarterdeck:rockets@0.1.0; interface launch { fire: func(); }",
    ] {
        resolve.push_str("other.wit", other).unwrap();
    }
    let package = resolve.push_str("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
