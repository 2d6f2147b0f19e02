//! Classes, properties, entities, filters, states and options: values without I/O.
