"""Vectors as values in numba functions: so many integers side by side, for kernels whose inner loops are too short for
the compiler to make vectors of.

A value of type `I32` is 16 int32, `I16` is 32 int16, `MASK` is 16 truth values; `+ - * & | ^ << >>` and comparisons
work elementwise and wrap around, `>>` keeps the sign. LLVM turns them into the registers that the machine has (one of
AVX-512, two of AVX2, four of SSE or Neon). Arrays are read and written at a flat offset, without a check of bounds."""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

N32, N16 = 16, 32  # lanes of `I32` and `MASK`; of `I16`


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.extending.intrinsic`, whose functions are called without the first argument of what they are made of."""
    return extending.intrinsic(function)


class Lanes(types.Type):
    def __init__(self, bits, count):
        self.bits, self.count = bits, count
        super().__init__(name=f"lanes_i{bits}x{count}")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _vector(fe_type.bits, fe_type.count))


def _vector(bits, count):
    return ir.VectorType(ir.IntType(bits), count)


I32, I16, MASK = Lanes(32, N32), Lanes(16, N16), Lanes(1, N32)


def _at(context, builder, array_type, array, index_type, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [context.cast(builder, index, index_type, types.intp)])


def _loader(result, bits, turn=lambda builder, x: x):
    @intrinsic
    def load(typing, array, index):
        def code(context, builder, sig, args):
            place = _at(context, builder, sig.args[0], args[0], sig.args[1], args[1])
            return turn(
                builder, builder.load(builder.bitcast(place, _vector(bits, result.count).as_pointer()), align=1)
            )

        return result(array, index), code

    return load


load32 = _loader(I32, 32)  # array: int32
load16 = _loader(I16, 16)  # array: int16
load_mask = _loader(
    MASK, 8, lambda builder, x: builder.icmp_signed("!=", x, ir.Constant(x.type, None))
)  # array: uint8, which are not zero


@intrinsic
def store32(typing, array, index, value):
    """array: int32."""

    def code(context, builder, sig, args):
        place = _at(context, builder, sig.args[0], args[0], sig.args[1], args[1])
        builder.store(args[2], builder.bitcast(place, args[2].type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, index, I32), code


def _spread(builder, x, count):
    one = builder.insert_element(ir.Constant(ir.VectorType(x.type, count), ir.Undefined), x, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(_vector(32, count), None))


def _splatter(result):
    scalar = types.Integer.from_bitwidth(result.bits)

    @intrinsic
    def splat(typing, x):
        return result(x), lambda context, builder, sig, args: _spread(
            builder, context.cast(builder, args[0], sig.args[0], scalar), result.count
        )

    return splat


splat32, splat16 = _splatter(I32), _splatter(I16)  # the same number in every lane


def _operator(op, kind, result, code):
    @infer_global(op)
    class Typing(ConcreteTemplate):
        cases = [signature(result, kind, kind)]

    lower_builtin(op, kind, kind)(lambda context, builder, sig, args: code(builder, *args))


for _kind in (I32, I16):
    _operator(operator.add, _kind, _kind, lambda builder, x, y: builder.add(x, y))
for _op, _code in (
    (operator.sub, "sub"),
    (operator.mul, "mul"),
    (operator.and_, "and_"),
    (operator.xor, "xor"),
    (operator.lshift, "shl"),
    (operator.rshift, "ashr"),
):
    _operator(_op, I32, I32, lambda builder, x, y, code=_code: getattr(builder, code)(x, y))
_operator(operator.or_, MASK, MASK, lambda builder, x, y: builder.or_(x, y))
for _op, _code in ((operator.gt, ">"), (operator.ge, ">="), (operator.lt, "<"), (operator.le, "<=")):
    _operator(_op, I32, MASK, lambda builder, x, y, code=_code: builder.icmp_signed(code, x, y))


@intrinsic
def select(typing, mask, x, y):
    """`x` where `mask`, else `y`."""
    return I32(MASK, I32, I32), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def larger(typing, x, y):
    return I32(I32, I32), lambda context, builder, sig, args: builder.select(builder.icmp_signed(">", *args), *args)


@intrinsic
def smaller(typing, x, y):
    return I32(I32, I32), lambda context, builder, sig, args: builder.select(builder.icmp_signed("<", *args), *args)


@intrinsic
def ones(typing, mask):
    """1 where `mask`, else 0."""
    return I32(MASK), lambda context, builder, sig, args: builder.zext(args[0], _vector(32, N32))


@intrinsic
def bits(typing, mask):
    """`mask` as an integer, lane 0 lowest."""
    return types.int64(MASK), lambda context, builder, sig, args: builder.zext(
        builder.bitcast(args[0], ir.IntType(N32)), ir.IntType(64)
    )


@intrinsic
def popcount(typing, x):
    """The number of ones of an int64."""
    return types.int64(types.int64), lambda context, builder, sig, args: builder.ctpop(args[0])


def _half(first):
    @intrinsic
    def half(typing, x):
        def code(context, builder, sig, args):
            lanes = ir.Constant(_vector(32, N32), [ir.IntType(32)(first + i) for i in range(N32)])
            return builder.sext(builder.shuffle_vector(args[0], args[0], lanes), _vector(32, N32))

        return I32(I16), code

    return half


low_half, high_half = _half(0), _half(N32)  # 16 of the 32 int16, as int32


@intrinsic
def get(typing, array, index):
    """`array.flat[index]`, unchecked."""
    return array.dtype(array, index), lambda context, builder, sig, args: builder.load(
        _at(context, builder, sig.args[0], args[0], sig.args[1], args[1])
    )


@intrinsic
def put(typing, array, index, value):
    """`array.flat[index] = value`, unchecked."""

    def code(context, builder, sig, args):
        builder.store(
            context.cast(builder, args[2], sig.args[2], sig.args[0].dtype),
            _at(context, builder, sig.args[0], args[0], sig.args[1], args[1]),
        )
        return context.get_dummy_value()

    return types.void(array, index, value), code


@intrinsic
def put_places(typing, array, index, table, row, first):
    """`array[index + i] = first + table[row, i]` for i in 0..7; array int32, table uint8 [.., 8]."""

    def code(context, builder, sig, args):
        row = builder.mul(context.cast(builder, args[3], sig.args[3], types.intp), ir.IntType(64)(8))
        source = _at(context, builder, sig.args[2], args[2], types.intp, row)
        places = builder.zext(
            builder.load(builder.bitcast(source, _vector(8, 8).as_pointer()), align=1), _vector(32, 8)
        )
        moved = builder.add(places, _spread(builder, context.cast(builder, args[4], sig.args[4], types.int32), 8))
        target = _at(context, builder, sig.args[0], args[0], sig.args[1], args[1])
        builder.store(moved, builder.bitcast(target, moved.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, index, table, row, first), code
