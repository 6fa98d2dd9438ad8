;; Counts the lines of a file: {"path": "a.txt"} gives {"lines": 3}.
;;
;; The arguments are handed on as those of fs.read. In the reply a line break is `\n`, two
;; characters; a backslash in the text is `\\`.
(module
  (import "libos" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 64)
  (data (i32.const 16) "[{\"op\":\"fs.read\",\"args\":")
  (data (i32.const 48) "}]")
  (data (i32.const 64) "{\"ok\":{\"lines\":")
  (data (i32.const 96) "}}")
  (global $free (mut i32) (i32.const 1024))

  (func $alloc (export "libos_alloc") (param $bytes i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (i32.add (local.get $bytes) (i32.const 1)))))

  ;; Copies a text to a place and gives the place behind it.
  (func $put (param $at i32) (param $from i32) (param $bytes i32) (result i32)
    (memory.copy (local.get $at) (local.get $from) (local.get $bytes))
    (i32.add (local.get $at) (local.get $bytes)))

  ;; Writes a number to a place and gives the place behind it.
  (func $number (param $at i32) (param $value i32) (result i32)
    (if (i32.ge_u (local.get $value) (i32.const 10))
      (then
        (local.set $at
          (call $number (local.get $at) (i32.div_u (local.get $value) (i32.const 10))))))
    (i32.store8 (local.get $at)
      (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
    (i32.add (local.get $at) (i32.const 1)))

  ;; One more than the line breaks from a place to another.
  (func $count (param $at i32) (param $end i32) (result i32) (local $lines i32)
    (local.set $lines (i32.const 1))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 92)) ;; a backslash
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (local.set $lines (i32.add (local.get $lines)
              (i32.eq (i32.load8_u (local.get $at)) (i32.const 110)))))) ;; n
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $lines))

  (func $text (param $at i32) (param $end i32) (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get $end) (local.get $at)))))

  (func (export "run") (param $args i32) (param $bytes i32) (result i64)
    (local $request i32) (local $end i32) (local $packed i64) (local $reply i32)
    (local.set $request (call $alloc (i32.add (local.get $bytes) (i32.const 64))))
    (local.set $end (call $put (local.get $request) (i32.const 16) (i32.const 24)))
    (local.set $end (call $put (local.get $end) (local.get $args) (local.get $bytes)))
    (local.set $end (call $put (local.get $end) (i32.const 48) (i32.const 2)))
    (local.set $packed
      (call $syscall (local.get $request) (i32.sub (local.get $end) (local.get $request))))
    (local.set $reply (i32.wrap_i64 (i64.shr_u (local.get $packed) (i64.const 32))))
    (local.set $end (i32.add (local.get $reply) (i32.wrap_i64 (local.get $packed))))
    ;; An entry that begins `{"e` is an error, and has the form of an envelope already.
    (if (i32.eq (i32.load8_u offset=3 (local.get $reply)) (i32.const 101))
      (then
        (return (call $text
          (i32.add (local.get $reply) (i32.const 1))
          (i32.sub (local.get $end) (i32.const 1))))))
    (local.set $end
      (call $number
        (call $put (local.get $request) (i32.const 64) (i32.const 15))
        (call $count (local.get $reply) (local.get $end))))
    (call $text (local.get $request) (call $put (local.get $end) (i32.const 96) (i32.const 2)))))
