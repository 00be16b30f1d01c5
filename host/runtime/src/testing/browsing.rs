//! A guest that holds on to what it has of an answer over HTTP.

use super::guests::component;

/// A collector that asks to be reused. At 1 it asks that port of 127.0.0.1 and holds on to the body, at 1 and 2 it reads four bytes of
/// it, which are its message, or `over` where there are none to be had. At 3 it asks and does not wait for the answer, at 4 it takes
/// that: `answered`, or `failed`. Whoever holds nothing traps at 2 and 4.
pub(crate) fn browsing(port: u16) -> Vec<u8> {
    let authority = format!("127.0.0.1:{port}");
    let length = authority.len();
    let module = format!(
        r#"(module
        (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
            (func $scheme (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
            (func $authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
            (func $path (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
            (func $subscribe (param i32) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
        (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (global $asked (mut i32) (i32.const 0))
        (global $body (mut i32) (i32.const 0))
        (data (i32.const 1024) "browsing")
        (data (i32.const 1040) "1.0.0")
        (data (i32.const 1056) "{{}}")
        (data (i32.const 1072) "{authority}")
        (data (i32.const 1104) "over")
        (data (i32.const 1112) "answered")
        (data (i32.const 1120) "failed")
        (data (i32.const 1128) "/")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            global.get $free
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func $say (param i32 i32)
            (i32.store (i32.const 532) (local.get 0)) (i32.store (i32.const 536) (local.get 1)))
        (func $ask (local $new i32)
            (local.set $new (call $request (call $fields)))
            (drop (call $scheme (local.get $new) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
            (drop (call $authority (local.get $new) (i32.const 1) (i32.const 1072) (i32.const {length})))
            (drop (call $path (local.get $new) (i32.const 1) (i32.const 1128) (i32.const 1)))
            (call $handle (local.get $new) (i32.const 0) (i32.const 0) (i32.const 2560))
            (if (i32.load8_u (i32.const 2560)) (then unreachable))
            (global.set $asked (i32.load (i32.const 2568))))
        ;; The answer, or 0.
        (func $answer (result i32)
            (call $block (call $subscribe (global.get $asked)))
            (call $get (global.get $asked) (i32.const 2560))
            (if (i32.or (i32.eqz (i32.load8_u (i32.const 2560)))
                (i32.or (i32.load8_u (i32.const 2568)) (i32.load8_u (i32.const 2576)))) (then (return (i32.const 0))))
            (i32.load (i32.const 2584)))
        (func $open (local $answer i32)
            (local.set $answer (call $answer))
            (if (i32.eqz (local.get $answer)) (then unreachable))
            (call $consume (local.get $answer) (i32.const 2560))
            (if (i32.load8_u (i32.const 2560)) (then unreachable))
            (call $stream (i32.load (i32.const 2564)) (i32.const 2560))
            (if (i32.load8_u (i32.const 2560)) (then unreachable))
            (global.set $body (i32.load (i32.const 2564))))
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
            (call $say (i32.const 0) (i32.const 0))
            (if (i64.eq (local.get $now) (i64.const 1)) (then (call $ask) (call $open)))
            (if (i64.le_s (local.get $now) (i64.const 2)) (then
                (call $read (global.get $body) (i64.const 4) (i32.const 2560))
                (if (i32.load8_u (i32.const 2560))
                    (then (call $say (i32.const 1104) (i32.const 4)))
                    (else (call $say (i32.load (i32.const 2564)) (i32.load (i32.const 2568)))))))
            (if (i64.eq (local.get $now) (i64.const 3)) (then (call $ask)))
            (if (i64.eq (local.get $now) (i64.const 4)) (then
                (if (call $answer)
                    (then (call $say (i32.const 1112) (i32.const 8)))
                    (else (call $say (i32.const 1120) (i32.const 6))))))
            i32.const 512))"#
    );
    let world = "package test:guest; world guest {
        import wasi:http/types@0.2.0; import wasi:http/outgoing-handler@0.2.0;
        import wasi:io/poll@0.2.0; import wasi:io/streams@0.2.0;
        export quarterdeck:plugin/reuse@0.1.0; export quarterdeck:plugin/plugin@0.1.0;
        export quarterdeck:collector/collector@0.1.0; }";
    component(&module, world, "0.1.0")
}
