;; Counts the lines of a file: {"path": "a.txt"} gives {"lines": 3}.
;;
;; What a toolchain writes for the world `guest` of wit/libos.wit, by hand. The path is what stands
;; between the last two quotes of the arguments.
(component
  (import "libos:tool/fs@2.0.0" (instance $fs
    (type $error-type (record
      (field "code" string) (field "message" string) (field "number" u32)))
    (export "error" (type $error (eq $error-type)))
    (type $text-type (record
      (field "bytes" u64) (field "digest" string) (field "text" string) (field "truncated" bool)))
    (export "file-text" (type $text (eq $text-type)))
    (export "read" (func
      (param "path" string) (param "max-bytes" (option u32))
      (result (result $text (error $error)))))))

  (core module $libc
    (memory (export "memory") 64)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $bytes i32) (result i32)
      (global.set $free (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get $bytes)))))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))

  (alias export $fs "read" (func $read))
  (core func $read-core (canon lower (func $read) (memory $memory) (realloc $realloc)))

  (core module $main
    (import "libc" "memory" (memory 64))
    (import "fs" "read" (func $read (param i32 i32 i32 i32 i32)))
    (data (i32.const 128) "{\"lines\":")
    (data (i32.const 160) "SyscallError")

    ;; The place before another at which a quote stands.
    (func $quote (param $at i32) (result i32)
      (loop $next
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (br_if $next (i32.ne (i32.load8_u (local.get $at)) (i32.const 34))))
      (local.get $at))

    ;; Writes a number to a place and gives the place behind it.
    (func $number (param $at i32) (param $value i32) (result i32)
      (if (i32.ge_u (local.get $value) (i32.const 10))
        (then
          (local.set $at
            (call $number (local.get $at) (i32.div_u (local.get $value) (i32.const 10))))))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (i32.add (local.get $at) (i32.const 1)))

    ;; One more than the line breaks in a text.
    (func $count (param $at i32) (param $bytes i32) (result i32)
      (local $lines i32) (local $end i32)
      (local.set $lines (i32.const 1))
      (local.set $end (i32.add (local.get $at) (local.get $bytes)))
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
          (local.set $lines (i32.add (local.get $lines)
            (i32.eq (i32.load8_u (local.get $at)) (i32.const 10))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))
      (local.get $lines))

    ;; What fs.read gives lies at 0: a case, then from 8 on the record. What is given back lies at
    ;; 64: a case, then from 68 on a text or the record of a failure.
    (func (export "run") (param $args i32) (param $bytes i32) (result i32)
      (local $last i32) (local $first i32) (local $end i32)
      (local.set $last (call $quote (i32.add (local.get $args) (local.get $bytes))))
      (local.set $first (i32.add (call $quote (local.get $last)) (i32.const 1)))
      (call $read
        (local.get $first) (i32.sub (local.get $last) (local.get $first))
        (i32.const 0) (i32.const 0) (i32.const 0))
      (if (i32.load8_u (i32.const 0))
        (then
          (i32.store8 (i32.const 64) (i32.const 1))
          (i32.store (i32.const 68) (i32.const 160)) ;; its name
          (i32.store (i32.const 72) (i32.const 12))
          (i32.store (i32.const 76) (i32.load (i32.const 16))) ;; its message
          (i32.store (i32.const 80) (i32.load (i32.const 20)))
          (i32.store8 (i32.const 96) (i32.const 1)) ;; the number of the host's error
          (i32.store (i32.const 100) (i32.load (i32.const 24))))
        (else
          (local.set $end (call $number (i32.const 137)
            (call $count (i32.load (i32.const 24)) (i32.load (i32.const 28)))))
          (i32.store8 (local.get $end) (i32.const 125)) ;; a brace
          (i32.store (i32.const 68) (i32.const 128))
          (i32.store (i32.const 72) (i32.sub (local.get $end) (i32.const 127)))))
      (i32.const 64)))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "fs" (instance (export "read" (func $read-core))))))

  (type $failure-type (record
    (field "name" string) (field "message" string)
    (field "stack" (option string)) (field "number" (option u32))))
  (export $failure "failure" (type $failure-type))
  (alias core export $main "run" (core func $run-core))
  (func $run (param "args" string) (result (result string (error $failure)))
    (canon lift (core func $run-core) (memory $memory) (realloc $realloc)))
  (export "run" (func $run)))
