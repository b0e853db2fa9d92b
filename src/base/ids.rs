//! Ids: `compile` replaces names by ids. Each is an index into one table of one snapshot.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $int);

        impl $name {
            /// The id of the `index`th item of its table.
            ///
            /// # Panics
            /// When the table has outgrown the id; `compile` limits every table below that.
            pub fn from_index(index: usize) -> Self {
                $name(<$int>::try_from(index).expect("tables are limited in compile"))
            }

            /// The position in its table.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(/// A mirror in `Snapshot::mirrors`.
    MirrorId(u16));
id!(/// A horizon in `Snapshot::horizons`.
    HorizonId(u16));
id!(/// A plan (an ordered list of mirrors) of one horizon.
    PlanId(u16));
id!(/// The content of the HTTPS record of a steered owner, in `Snapshot::services`.
    ServiceId(u16));
id!(/// A zone in `ZoneSet`.
    ZoneId(u16));
id!(/// A node (an owner name) of one zone; 0 is the apex.
    NodeId(u32));
id!(/// A source of labels in `Networks::sources`, in the order of the config.
    SourceId(u16));
id!(/// A set of labels of one source.
    LabelsId(u32));
id!(/// A key in `Keys`, in the order of the config.
    KeyId(u16));
