;; Counts the bytes of each request's body as they pass, and answers 413 as soon as there are more
;; than the limit. Nothing is kept back. Envoy runs it (Proxy-Wasm, ABI 0.2.1), one instance a worker;
;; `body_limit.wasm` is what it was compiled to, and a test says whether it still is.
(module
  (import "env" "proxy_send_local_response" (func $answer
    ;; status, details (place, bytes), body (place, bytes), headers (place, bytes), status of gRPC
    (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  ;; the host asks for memory only to hand over what this module never asks for
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32) (i32.const 0))
  (func (export "proxy_on_context_create") (param $id i32) (param $root i32))

  ;; From 1024 on: 8,192 lists of requests, by the last bits of their numbers. From 33,792 on: their
  ;; members, 16 bytes each: number, next member, bytes so far. Members that have ended are kept in a
  ;; list of their own and used again, so memory is that of the most requests at one time.
  (global $ended (mut i32) (i32.const 0))
  (global $unused (mut i32) (i32.const 33792))

  (func $list_of (param $id i32) (result i32)
    (i32.add (i32.const 1024) (i32.shl (i32.and (local.get $id) (i32.const 8191)) (i32.const 2))))

  (func $new_member (result i32)
    (local $member i32)
    (local.set $member (global.get $ended))
    (if (local.get $member)
      (then
        (global.set $ended (i32.load offset=4 (local.get $member))))
      (else
        (local.set $member (global.get $unused))
        (if (i32.ge_u (local.get $member) (i32.shl (memory.size) (i32.const 16)))
          (then
            (if (i32.lt_s (memory.grow (i32.const 1)) (i32.const 0)) (then (unreachable)))))
        (global.set $unused (i32.add (local.get $member) (i32.const 16)))))
    (local.get $member))

  (func $member_of (param $id i32) (result i32)
    (local $list i32)
    (local $member i32)
    (local.set $list (call $list_of (local.get $id)))
    (local.set $member (i32.load (local.get $list)))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $member)))
        (if (i32.eq (i32.load (local.get $member)) (local.get $id))
          (then (return (local.get $member))))
        (local.set $member (i32.load offset=4 (local.get $member)))
        (br $next)))
    (local.set $member (call $new_member))
    (i32.store (local.get $member) (local.get $id))
    (i32.store offset=4 (local.get $member) (i32.load (local.get $list)))
    (i64.store offset=8 (local.get $member) (i64.const 0))
    (i32.store (local.get $list) (local.get $member))
    (local.get $member))

  ;; 0: it passes, 1: nothing more is read
  (func (export "proxy_on_request_body")
    (param $id i32) (param $size i32) (param $is_last i32) (result i32)
    (local $member i32)
    (local $bytes i64)
    (local.set $member (call $member_of (local.get $id)))
    (local.set $bytes
      (i64.add (i64.load offset=8 (local.get $member)) (i64.extend_i32_u (local.get $size))))
    (i64.store offset=8 (local.get $member) (local.get $bytes))
    (if (i64.le_u (local.get $bytes) (i64.load (i32.const 0))) (then (return (i32.const 0))))
    (drop (call $answer (i32.const 413) (i32.const 8) (i32.const 14) (i32.const 22) (i32.const 10)
      (i32.const 0) (i32.const 0) (i32.const -1)))
    (i32.const 1))

  (func (export "proxy_on_delete") (param $id i32)
    (local $link i32)
    (local $member i32)
    (local.set $link (call $list_of (local.get $id)))
    (block $end
      (loop $next
        (local.set $member (i32.load (local.get $link)))
        (br_if $end (i32.eqz (local.get $member)))
        (if (i32.eq (i32.load (local.get $member)) (local.get $id))
          (then
            (i32.store (local.get $link) (i32.load offset=4 (local.get $member)))
            (i32.store offset=4 (local.get $member) (global.get $ended))
            (global.set $ended (local.get $member))
            (return)))
        (local.set $link (i32.add (local.get $member) (i32.const 4)))
        (br $next))))

  (data (i32.const 8) "body_too_large")
  (data (i32.const 22) "too large\0a")
  ;; the limit, in bytes: `body_limit.py` puts the plan's there
  (data (i32.const 0) "\ff\ff\ff\ff\ff\ff\ff\7f"))
