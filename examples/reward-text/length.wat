;; brief: 1 for a response of fewer than 40 tokens, 0 for any other.
;;
;; A whole reward without any toolchain: the host reads this file as it is. Above is the core module, which works on
;; numbers and on its memory; below it is the component around it, which gives the functions the types of
;; sdk/wit/reward.wit. What lies where in memory follows the component model's canonical ABI:
;;   string, list      8 bytes: address, length
;;   bool, enum        1 byte
;;   record            its fields in order, each aligned to its size (4 for strings, lists and numbers here)
;;   option, result,   the case (1 byte: none 0, some 1; ok 0, error 1), then at 4 its value; as large as the largest
;;   variant           case needs, rounded up to 4
;; Arguments: a list or string comes as two i32, address and length, in memory that the host asked of `realloc`.
;; Results: anything larger than one number is written to memory, and its address is returned.

(component
  (core module $code
    (memory (export "memory") 1)

    ;; 0..28: the record `description`, which never changes.
    ;;   0 name   8 about   16 validation   17 needs-means   20 params
    (data (i32.const 0)
      "\80\00\00\00" "\05\00\00\00"   ;; name: 5 bytes at 128
      "\90\00\00\00" "\38\00\00\00"   ;; about: 56 bytes at 144
      "\00" "\00" "\00\00"            ;; validation: score, the first case; needs-means: false; 2 bytes of padding
      "\e0\00\00\00" "\02\00\00\00")  ;; params: 2 bytes at 224
    (data (i32.const 128) "brief")
    (data (i32.const 144) "1 for a response of fewer than 40 tokens, 0 for another.")
    (data (i32.const 224) "[]")

    ;; 32..44: what `configure` returns when all is well, result<_, string>: 0 the case, ok. Memory begins as zeros.
    ;; 48..60: what it returns for params: 48 the case, error; 52 its text, 46 bytes at 256.
    (data (i32.const 48) "\01\00\00\00" "\00\01\00\00" "\2e\00\00\00")
    (data (i32.const 256) "brief takes no params: expected {}, found some")

    ;; 64..76: what `score` returns, result<list<result<f32, string>>, string>:
    ;;   64 the case, always ok   68 address of the list   72 its length

    ;; From 1024 on: what a call needs, its arguments and then its scores.
    (global $free (mut i32) (i32.const 1024))

    ;; The host's way to memory for the arguments; it only ever asks for new blocks here. Blocks are handed out one
    ;; after the other and never given back one by one: each call frees all at its end.
    (func $realloc (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
                   (result i32)
      (local $block i32) (local $pages i32)
      ;; block = free rounded up to a multiple of align, which is a power of two
      (local.set $block
        (i32.and (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
                 (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $block) (local.get $size)))
      ;; an address that wrapped around is no memory
      (if (i32.lt_u (global.get $free) (local.get $block)) (then unreachable))
      ;; pages of 64 KiB up to the end of the block; more are asked for if that is past what there is
      (local.set $pages
        (i32.add (i32.shr_u (i32.sub (global.get $free) (i32.const 1)) (i32.const 16)) (i32.const 1)))
      (if (i32.gt_u (local.get $pages) (memory.size))
        (then
          (if (i32.eq (memory.grow (i32.sub (local.get $pages) (memory.size))) (i32.const -1))
            (then unreachable))))
      (local.get $block))

    (func (export "describe") (result i32)
      (i32.const 0))

    ;; "{}" is the only text of two bytes that the host sends.
    (func (export "configure") (param $params i32) (param $length i32) (result i32)
      (global.set $free (i32.const 1024))
      (select (i32.const 32) (i32.const 48) (i32.eq (local.get $length) (i32.const 2))))

    ;; A completion takes 64 bytes:
    ;;   0 prompt   8 response   16 ground-truth   24 data-source   32 response-tokens
    ;;   36 means (case at 36, three f32 at 40, 44, 48)   52 truncated   56 extra
    ;; A result<f32, string> takes 12: 0 the case, 4 the score.
    (func (export "score") (param $completion i32) (param $count i32) (result i32)
      (local $score i32) (local $left i32)
      ;; the list of scores comes after the arguments
      (local.set $score
        (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (local.get $count) (i32.const 12))))
      (i32.store (i32.const 68) (local.get $score))
      (i32.store (i32.const 72) (local.get $count))
      (local.set $left (local.get $count))
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $left)))
          (i32.store8 (local.get $score) (i32.const 0))
          (f32.store offset=4 (local.get $score)
            (f32.convert_i32_u (i32.lt_u (i32.load offset=32 (local.get $completion)) (i32.const 40))))
          (local.set $completion (i32.add (local.get $completion) (i32.const 64)))
          (local.set $score (i32.add (local.get $score) (i32.const 12)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $next)))
      ;; The host reads the scores before it calls again, so the memory may be free from here on.
      (global.set $free (i32.const 1024))
      (i32.const 64)))

  (core instance $code (instantiate $code))
  (alias core export $code "memory" (core memory $memory))
  (alias core export $code "realloc" (core func $realloc))
  (alias core export $code "describe" (core func $core-describe))
  (alias core export $code "configure" (core func $core-configure))
  (alias core export $code "score" (core func $core-score))

  ;; The types of the interface `scorer`.
  (type $performance (enum "score" "response-tokens"))
  (type $description (record
    (field "name" string) (field "about" string) (field "validation" $performance) (field "needs-means" bool)
    (field "params" string)))
  (type $mean-tokens (record (field "running" f32) (field "batch" f32) (field "group" f32)))
  (type $completion (record
    (field "prompt" string) (field "response" string) (field "ground-truth" string) (field "data-source" string)
    (field "response-tokens" u32) (field "means" (option $mean-tokens)) (field "truncated" bool)
    (field "extra" string)))

  ;; Core functions become functions of those types.
  (func $describe (result $description)
    (canon lift (core func $core-describe) (memory $memory)))
  (func $configure (param "params" string) (result (result (error string)))
    (canon lift (core func $core-configure) (memory $memory) (realloc $realloc)))
  (func $score (param "completions" (list $completion)) (result (result (list (result f32 (error string))) (error string)))
    (canon lift (core func $core-score) (memory $memory) (realloc $realloc)))

  ;; An interface exports its types beside its functions, and the functions have to be typed with the exported ones.
  ;; A component is what can do that: it takes types and functions in, and exports them under their names.
  (component $interface
    (type $p (enum "score" "response-tokens"))
    (import "performance-type" (type $performance (eq $p)))
    (type $d (record
      (field "name" string) (field "about" string) (field "validation" $performance) (field "needs-means" bool)
      (field "params" string)))
    (import "description-type" (type $description (eq $d)))
    (type $m (record (field "running" f32) (field "batch" f32) (field "group" f32)))
    (import "mean-tokens-type" (type $mean-tokens (eq $m)))
    (type $c (record
      (field "prompt" string) (field "response" string) (field "ground-truth" string) (field "data-source" string)
      (field "response-tokens" u32) (field "means" (option $mean-tokens)) (field "truncated" bool)
      (field "extra" string)))
    (import "completion-type" (type $completion (eq $c)))
    (import "describe-function" (func $describe (result $description)))
    (import "configure-function" (func $configure (param "params" string) (result (result (error string)))))
    (import "score-function" (func $score
      (param "completions" (list $completion)) (result (result (list (result f32 (error string))) (error string)))))

    (export $performance-out "performance" (type $performance))
    (type $d-out (record
      (field "name" string) (field "about" string) (field "validation" $performance-out) (field "needs-means" bool)
      (field "params" string)))
    (export $description-out "description" (type $d-out))
    (export $mean-tokens-out "mean-tokens" (type $mean-tokens))
    (type $c-out (record
      (field "prompt" string) (field "response" string) (field "ground-truth" string) (field "data-source" string)
      (field "response-tokens" u32) (field "means" (option $mean-tokens-out)) (field "truncated" bool)
      (field "extra" string)))
    (export $completion-out "completion" (type $c-out))
    (export "describe" (func $describe) (func (result $description-out)))
    (export "configure" (func $configure) (func (param "params" string) (result (result (error string)))))
    (export "score" (func $score) (func
      (param "completions" (list $completion-out)) (result (result (list (result f32 (error string))) (error string))))))

  (instance $scorer (instantiate $interface
    (with "performance-type" (type $performance))
    (with "description-type" (type $description))
    (with "mean-tokens-type" (type $mean-tokens))
    (with "completion-type" (type $completion))
    (with "describe-function" (func $describe))
    (with "configure-function" (func $configure))
    (with "score-function" (func $score))))

  (export "moa:reward/scorer@1.0.0" (instance $scorer)))
