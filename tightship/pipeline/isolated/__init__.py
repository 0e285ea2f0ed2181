"""Steps that other people's converters may crash: they run in a process of their own, the parent's side and the child's."""
