module holdfast.example/interop/evidence

go 1.25.0
