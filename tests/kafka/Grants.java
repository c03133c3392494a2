import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Sets passwords and rights at a broker: `java -cp … Grants.java SERVER COMMAND ARGUMENT…`. */
public class Grants {
  public static void main(String[] args) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
      switch (args[1]) {
        case "password" -> password(admin, args[2], args[3]);
        case "deny" -> admin.createAcls(List.of(denied(args))).all().get();
        case "allow" -> admin.deleteAcls(List.of(denied(args).toFilter())).all().get();
        default -> throw new IllegalArgumentException(args[1]);
      }
    }
  }

  static void password(Admin admin, String user, String password) throws Exception {
    for (ScramMechanism kind : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
      var credentials = new ScramCredentialInfo(kind, 4096);
      var change = new UserScramCredentialUpsertion(user, credentials, password);
      admin.alterUserScramCredentials(List.of(change)).all().get();
    }
  }

  /** `USER TYPE NAME OPERATION`, such as `alice TOPIC orders READ`. */
  static AclBinding denied(String[] args) {
    var of = new ResourcePattern(ResourceType.valueOf(args[3]), args[4], PatternType.LITERAL);
    var operation = AclOperation.valueOf(args[5]);
    return new AclBinding(of, new AccessControlEntry("User:" + args[2], "*", operation, AclPermissionType.DENY));
  }
}
