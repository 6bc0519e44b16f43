//! The captured packets as a file for Wireshark, each with a comment that names the system call which caused it.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

use super::{Packet, Recording};

impl Recording {
    /// Writes the captured packets as pcapng.
    pub fn write_pcapng(&self, out: impl Write) -> Result<(), PcapError> {
        let mut writer = PcapNgWriter::new(out)?;
        let mut interfaces: Vec<(&str, &str)> = Vec::new();
        for packet in &self.packets {
            let key = (packet.host.as_str(), packet.interface.as_str());
            if !interfaces.contains(&key) {
                interfaces.push(key);
                let name = format!("{} on host {}", packet.interface, packet.host);
                writer.write_pcapng_block(InterfaceDescriptionBlock {
                    linktype: DataLink::ETHERNET,
                    snaplen: 0,
                    options: vec![
                        InterfaceDescriptionOption::IfName(Cow::Owned(name)),
                        // Times are in nanoseconds.
                        InterfaceDescriptionOption::IfTsResol(9),
                    ],
                })?;
            }
        }
        for packet in &self.packets {
            let key = (packet.host.as_str(), packet.interface.as_str());
            let interface = interfaces.iter().position(|known| *known == key).unwrap_or(0);
            let comment = self.cause_in_words(packet);
            writer.write_pcapng_block(EnhancedPacketBlock {
                interface_id: u32::try_from(interface).unwrap_or(0),
                timestamp: Duration::from_nanos(packet.at.real),
                original_len: packet.length,
                data: Cow::Borrowed(&packet.frame),
                options: comment
                    .map(|text| EnhancedPacketOption::Comment(Cow::Owned(text)))
                    .into_iter()
                    .collect(),
            })?;
        }
        Ok(())
    }

    /// The call that caused a packet, in words: `udp-server: sendto on descriptor 3 (event 12)`.
    pub fn cause_in_words(&self, packet: &Packet) -> Option<String> {
        let cause = packet.cause?;
        let event = self.events.iter().find(|event| event.seq == cause)?;
        let fd = event.fd.map(|fd| format!(" on descriptor {fd}")).unwrap_or_default();
        Some(format!("caused by {}: {}{fd} (event {cause})", event.who, event.call))
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::recording::frames::tests::udp;
    use crate::recording::{Act, Event, Object, Outcome, Stamp};

    #[test]
    fn packets_name_their_system_call() {
        let at = |real| Stamp { real, seen: real };
        let send = Act::Send {
            object: Object::Socket(7),
            asked: 2,
            done: 2,
            to: "127.0.0.1:5000".parse().ok(),
            head: vec![0, 255],
            flags: 0,
            payload: Some(vec![0, 255]),
        };
        let event = Event {
            seq: 0,
            enter: at(10),
            exit: at(20),
            who: "udp-client".into(),
            thread: 0,
            call: "sendto".into(),
            fd: Some(3),
            act: send,
            outcome: Outcome::Ok(2),
            injected: None,
            restarts: 0,
        };
        let mut recording = Recording { events: vec![event], ..Recording::default() };
        let mut packet = udp((40000, 5000), &[0, 255], 15);
        packet.cause = crate::recording::cause::Causes::of(&recording).find(&packet);
        recording.packets.push(packet);
        let mut file = Vec::new();
        recording.write_pcapng(&mut file).unwrap();
        let mut reader = PcapNgReader::new(file.as_slice()).unwrap();
        let mut comments = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.unwrap() {
                comments.extend(packet.options.iter().map(|option| format!("{option:?}")));
                assert_eq!(packet.original_len, 44);
            }
        }
        assert_eq!(comments, [r#"Comment("caused by udp-client: sendto on descriptor 3 (event 0)")"#]);
    }
}
